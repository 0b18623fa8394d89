"""What Lucid's notebooks import from `lucid.misc`."""
