"""Reference files: TensorFlow's values of graphs, and the comparison with them."""
