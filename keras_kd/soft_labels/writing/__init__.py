"""Asking the teacher once, and storing what it says."""

__all__ = []  # import from its modules
