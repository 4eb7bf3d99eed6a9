"""A run on disk: its directory, signature, lease, result and provenance."""
