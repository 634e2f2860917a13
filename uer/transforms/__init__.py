"""What may be done to an image before the model sees it, one name one file."""
