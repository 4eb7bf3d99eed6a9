"""Hydra looks here for the plugins of vae_lab, whenever it starts; so nothing heavy is imported."""
