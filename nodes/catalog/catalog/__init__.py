"""A small shop catalogue: products, prices, search and quotes."""
