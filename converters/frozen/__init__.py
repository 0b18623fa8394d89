"""Frozen graphs: read, represented, rewritten as other graphs, written."""
