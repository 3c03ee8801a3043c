"""Which pixels a sample shows in a view, and whether they are the same each time."""

__all__ = []  # import from its modules
