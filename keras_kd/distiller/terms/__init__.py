"""What is minimised beside the hard loss: losses between teacher and student, weighed."""

__all__ = []  # import from its modules
