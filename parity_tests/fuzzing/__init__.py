"""Mutated graph files: each has to end in a conversion or in a clear error. `python -m parity_tests.fuzzing --help`."""
