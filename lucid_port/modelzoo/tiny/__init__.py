"""TinyInceptionV1, the network that comes with this package, and all that made it."""
