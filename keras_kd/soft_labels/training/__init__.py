"""Training data that carry the stored answers."""
