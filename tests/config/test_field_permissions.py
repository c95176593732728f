"""A file of a run that may not be read is called so, and nobody is told to remove or train anything."""
