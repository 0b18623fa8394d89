"""Random one-token mutants of the code: does a test fail for each?

`python -m parity_tests.mutants --collect` measures which test runs which line. `python -m parity_tests.mutants` then
runs the tests of the mutated line on each mutant. Deliberate defects, with names, are in `parity_tests.mutations`.
"""
