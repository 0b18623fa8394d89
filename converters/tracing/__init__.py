"""Networks that come as torch modules: traced graphs, and the memory their nodes share."""
