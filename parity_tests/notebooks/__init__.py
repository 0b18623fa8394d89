"""The steps of Lucid's notebooks, with the changes that docs/porting.md lists and no others.

Images are small and steps few, on weights that are random: what is asserted is that each step does what it is for.
"""
