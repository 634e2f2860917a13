"""Engines, one name one file."""
