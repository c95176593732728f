"""A page on this machine that scores the images that are dropped on it."""
