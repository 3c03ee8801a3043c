"""From a Keras model to a file, in a process of its own."""
