"""Feed-forward blocks, one name one file."""
