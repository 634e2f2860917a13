"""uer: pre-training models assembled from five registries.

Importing the package is cheap and works from any folder: torch is loaded by the modules that
compute, never here.
"""

__version__ = "0.1.0"
