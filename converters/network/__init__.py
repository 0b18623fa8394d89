"""Programs as torch modules whose layers have names."""
