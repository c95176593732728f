"""Scores of new images, written as they come."""
