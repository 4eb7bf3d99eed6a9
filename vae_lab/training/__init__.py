"""Lightning's Trainer with budgets, evaluations and checkpoints counted in training samples."""

from vae_lab.training.trainer import TrainerFactory

__all__ = ["TrainerFactory"]
