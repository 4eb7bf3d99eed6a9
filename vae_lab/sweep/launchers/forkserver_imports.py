"""Imported by the server of `warm` when it starts, and by nobody else."""

from vae_lab.sweep.launchers.forkserver import imports

imports()
