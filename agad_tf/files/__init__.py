"""Where a run's files are, and how they are written whole."""
