"""Embeddings, one name one file."""
