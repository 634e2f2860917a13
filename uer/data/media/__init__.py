"""Images and sounds: from bytes to arrays."""
