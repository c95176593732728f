"""Choices, options, and how flags become the configuration of an experiment."""
