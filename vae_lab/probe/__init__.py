"""Statistics of gradient estimators at one and the same parameters and data."""

from vae_lab.probe.measurement import Measurement
from vae_lab.probe.probe import Probe

__all__ = ["Measurement", "Probe"]
