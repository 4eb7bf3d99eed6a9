"""Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016)."""
