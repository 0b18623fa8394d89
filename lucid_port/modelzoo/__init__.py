"""Models under Lucid's names: where their files are found, and what they want to be fed."""
