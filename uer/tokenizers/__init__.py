"""Tokenizers, one name one file."""
