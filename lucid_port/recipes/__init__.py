"""Techniques of the Distill articles as functions: what each module does, its first line says."""
