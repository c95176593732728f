"""Measures how much a model's score of an image depends on the other images in its batch."""
