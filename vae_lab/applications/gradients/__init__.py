"""`vae-lab gradients`."""
