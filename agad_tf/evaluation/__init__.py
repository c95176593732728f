"""Scores, the two protocols they are taken under, figures of merit, and the threshold."""
