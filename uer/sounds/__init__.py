"""Pipelines of sounds: one name, one file."""
