"""Figures of measured gradients."""
