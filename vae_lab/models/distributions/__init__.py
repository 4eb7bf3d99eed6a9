"""Distributions over latent variables: what priors and posteriors offer, and the discrete ones."""
