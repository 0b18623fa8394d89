"""What the units of a network respond to in a user's own pictures.

- `pictures`: a folder or a dataset as prepared images with labels.
- `examples`: one pass over the pictures that keeps each unit's strongest activation, and the pictures of its top,
  bottom and quantiles.
- `statistics`: histograms, sparseness, class selectivity, similarity.
- `fields`: effective receptive fields, and their places in the pictures.
- `crops`: a second pass that cuts the examples of each unit, and copies the whole pictures.
- `links`: the strongest weights between units, and the most similar units.
- `curves`: tuning curves of all units.
- `details`, `tables`: gathers these into the files of a site, and reads them.
"""
