"""Runs TensorFlow in separate processes: finds a Python with TensorFlow, and freezes graphs."""
