"""What is exported: the student, its inputs and outputs, and the data to try it on."""

__all__ = []  # import from its modules
