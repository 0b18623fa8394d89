"""Work that needs a Python with TensorFlow, done in a process of its own."""
