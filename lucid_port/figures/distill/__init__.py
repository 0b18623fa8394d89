"""The catalogue's figures, one module for each family of articles."""
