"""Augmentations whose pixels are pure functions of seed, sample and view."""

__all__ = []  # import from its modules
