"""Asking the teacher once, and storing what it says."""
