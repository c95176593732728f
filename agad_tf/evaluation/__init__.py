"""Scores and the protocols of scoring, metrics, error maps and the threshold."""
