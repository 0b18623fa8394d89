"""Lowers a graph to a program: evaluates constants, and converts every other op to a layer."""
