"""Other formats: configurations and checkpoints of the outside world."""
