"""Fine-tuning and inference tasks, one name one file."""
