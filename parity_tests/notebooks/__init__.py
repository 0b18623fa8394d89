"""The steps of Lucid's notebooks, with the changes that docs/porting.md lists and no others.

Images are small, steps are few and weights are random: the tests check that each step has its intended effect.
"""
