"""Figures, one file per kind of picture."""
