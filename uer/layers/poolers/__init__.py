"""Heads that make one vector of a document's states."""
