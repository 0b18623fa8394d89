"""The figures of the catalogue, one module for each group of articles."""
