"""How long the rows of a dataset are and how large its pages; figures and pictures of it."""
