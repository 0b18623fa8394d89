"""Figures of the Distill articles, each made by one command from the recipes."""
