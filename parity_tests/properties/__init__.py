"""Properties that hold for all inputs, tested with examples that Hypothesis or a seed draws."""
