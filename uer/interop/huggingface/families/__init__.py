"""Families of models; the file's name is the ``model_type`` of their config.json."""
