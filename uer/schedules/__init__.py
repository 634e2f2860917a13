"""Learning-rate schedules, one name one file."""
