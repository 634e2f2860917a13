"""Writing text: searches over what a model says next."""
