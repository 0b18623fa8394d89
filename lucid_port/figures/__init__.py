"""Figures of the Distill articles, one command each: thin scripts over the recipes."""
