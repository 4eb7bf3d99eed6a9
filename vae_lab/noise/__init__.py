"""Noise as an explicit input: keyed by seed, purpose, step and datum."""

from vae_lab.noise.source import EVALUATION_BLOCK as EVALUATION_BLOCK
from vae_lab.noise.source import PARTS as PARTS
from vae_lab.noise.source import TEST as TEST
from vae_lab.noise.source import AntitheticNoise as AntitheticNoise
from vae_lab.noise.source import BaseDistribution as BaseDistribution
from vae_lab.noise.source import NoiseSource as NoiseSource
from vae_lab.noise.source import NoiseSpec as NoiseSpec
from vae_lab.noise.source import component as component
from vae_lab.noise.source import open_interval as open_interval
from vae_lab.noise.source import permutation as permutation
from vae_lab.noise.source import random_subset as random_subset
