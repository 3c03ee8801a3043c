"""Whether an exported file agrees with the Keras model."""
