"""Posterior inference and marginal likelihoods by sampling."""
