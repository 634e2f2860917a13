"""Attention modules, one name one file."""
