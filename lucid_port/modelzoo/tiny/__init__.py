"""TinyInceptionV1, the network that is part of this package: its training data, training, export and evaluation."""
