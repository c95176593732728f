"""The files of a run, and atomic writing."""
