"""The program as a torch module whose layers answer to their names."""
