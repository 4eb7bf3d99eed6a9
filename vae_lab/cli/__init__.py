"""The command line: `vae-lab <command> [Hydra overrides]`."""
