"""Figures of outlier scores."""
