"""Images and sounds: where they lie, how they are read, what could not be read."""
