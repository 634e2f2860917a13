"""Optimizers, one name one file."""
