"""Scores of new images."""
