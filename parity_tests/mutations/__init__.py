"""Deliberate defects that the suite has to detect: `python -m parity_tests.mutations`.

A test suite proves nothing if it cannot fail. Each mutation is a mistake that a port of Lucid could make, or that
another port made; it is patched into a running `pytest`, which then has to fail by an assertion.
"""
