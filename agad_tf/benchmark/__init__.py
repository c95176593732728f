"""Runs many experiments, and makes tables of their figures."""
