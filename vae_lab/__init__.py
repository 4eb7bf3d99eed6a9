"""Variational autoencoders, compared."""
