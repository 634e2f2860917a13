"""Layers, one name one file."""
