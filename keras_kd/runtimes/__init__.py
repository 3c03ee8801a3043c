"""What runs exported files."""

__all__ = []  # import from its modules
