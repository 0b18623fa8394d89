"""Helpers that Lucid's notebooks import from `lucid.misc`."""
