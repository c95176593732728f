"""What can be asked for: choices, options, and how flags become an experiment."""
