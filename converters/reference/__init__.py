"""Reference files: TensorFlow's values of a graph, and the comparison with them."""
