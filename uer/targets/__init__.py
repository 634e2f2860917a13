"""Training objectives, one name one file."""
