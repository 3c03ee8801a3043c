"""The folder of stored answers: its manifest and its shards."""
