"""`vae-lab generate`."""

from vae_lab.applications.generate.generate import Generate as Generate
