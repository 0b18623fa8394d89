"""Networks that come as torch modules: traced graphs and their aliases."""
