"""Norms, one name one file."""
