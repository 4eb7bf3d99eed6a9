"""Figures of a sweep, one module for each kind."""
