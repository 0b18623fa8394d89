"""Frozen graphs: reading, representing, rewriting and writing them."""
