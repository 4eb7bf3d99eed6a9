"""Priors p(z)."""

from vae_lab.priors.hierarchical import Hierarchical
from vae_lab.priors.standard_normal import StandardNormal

__all__ = ["Hierarchical", "StandardNormal"]
