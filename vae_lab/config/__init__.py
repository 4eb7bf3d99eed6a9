"""Configuration: its schema, the objects made of it, and messages on mistakes in it."""
