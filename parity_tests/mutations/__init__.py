"""Deliberate defects that the suite has to notice: `python -m parity_tests.mutations`.

A proof is worth what would have failed it. Each mutation is a mistake that a port of Lucid could make, or that another
port made; it is patched into a running `pytest`, which then has to fail by an assertion.
"""
