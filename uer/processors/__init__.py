"""Data processors, one name one file: which instances an objective trains on."""
