"""`vae-lab evaluate`."""

from vae_lab.applications.evaluate.evaluate import Evaluate as Evaluate
