"""Techniques of the Distill articles as functions. The first line of each module says which technique it implements."""
