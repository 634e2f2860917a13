"""Decoders, one name one file."""
