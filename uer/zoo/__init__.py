"""Public models by short names, fetched from the Hugging Face hub."""
