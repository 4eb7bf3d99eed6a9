"""Generative models: the VAE and its parts, and the models that it replaces."""
