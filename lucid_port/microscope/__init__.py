"""What the units of a network respond to in a user's own pictures.

- `pictures`: a folder or a dataset as prepared images with labels.
- `examples`: one pass over the pictures that keeps each unit's strongest activation, and the pictures of its top,
  bottom and quantiles.
"""
