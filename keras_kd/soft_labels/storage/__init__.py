"""The folder of stored answers: its manifest and its shards."""

__all__ = []  # import from its modules
