"""The name by which an exported student is called."""

__all__ = ["ENDPOINT"]

ENDPOINT = "serve"
