"""The name by which an exported student is called."""

ENDPOINT = "serve"
