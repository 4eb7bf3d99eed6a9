"""Trained models, loaded again."""
