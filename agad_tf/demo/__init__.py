"""A local web page that scores images that a user drops on it."""
