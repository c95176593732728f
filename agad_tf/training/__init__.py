"""A run from its flags to its detector: fitting, checkpoints and devices."""
