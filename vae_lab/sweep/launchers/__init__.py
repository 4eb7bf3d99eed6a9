"""Launchers: processes on this machine, and SLURM."""
