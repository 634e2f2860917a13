"""Position schemes inside attention, one name one file."""
