"""The student that learns from a teacher: one `keras.Model`, read `distiller.py` first."""

__all__ = []  # import from its modules
