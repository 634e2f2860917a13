"""From the file of an image to the pixels that a model reads, one name one file."""
