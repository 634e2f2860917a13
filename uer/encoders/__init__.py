"""Encoders, one name one file."""
