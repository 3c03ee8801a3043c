"""What a model is made of: its head, the signals of its layers, and what makes them comparable."""

__all__ = []  # import from its modules
