"""Where metrics go: `metrics.csv` always, Weights & Biases if wanted."""

from vae_lab.tracking.metrics_csv import MetricsCsv
from vae_lab.tracking.wandb import NoTracking, Tracking, WandbFactory

__all__ = ["MetricsCsv", "NoTracking", "Tracking", "WandbFactory"]
