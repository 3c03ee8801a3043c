"""Augmentations whose pixels are pure functions of seed, sample and view."""
