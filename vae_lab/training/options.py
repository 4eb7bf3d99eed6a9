"""The arguments of Lightning's Trainer that mean here what they say, and what stands here for the others."""

import math
from collections.abc import Mapping
from typing import Any

from vae_lab.errors import did_you_mean

REPLACEMENTS = {
    "accelerator": "use trainer.accelerator",
    "strategy": "use trainer.strategy",
    "devices": "use trainer.devices",
    "num_nodes": "use trainer.num_nodes",
    "precision": "use trainer.precision",
    "plugins": "use trainer.precision, trainer.devices and trainer.num_nodes",
    "logger": "use logger",
    "enable_autolog_hparams": "use logger",
    "model_registry": "use logger",
    "callbacks": "use callbacks",
    "max_epochs": "use trainer.max_epochs",
    "max_steps": "use trainer.max_samples",
    "max_time": "a budget is in samples: use trainer.max_samples",
    "limit_train_batches": "a budget is in samples: use trainer.max_samples",
    "overfit_batches": "use trainer.max_samples for a short run, or a smaller dataset",
    "fast_dev_run": "use trainer=debug",
    "barebones": "use trainer.evaluate_at=end and logger=none",
    "min_epochs": "the budget is always used up: leave it out",
    "min_steps": "the budget is always used up: leave it out",
    "accumulate_grad_batches": "a step has one batch: use dataset.batch_size",
    "limit_val_batches": "use trainer.evaluate_at or dataset.validation_size",
    "limit_test_batches": "use dataset.test_size",
    "limit_predict_batches": "nothing is predicted: leave it out",
    "val_check_interval": "use trainer.evaluate_at",
    "check_val_every_n_epoch": "use trainer.evaluate_at",
    "num_sanity_val_steps": "use trainer.evaluate_at",
    "log_every_n_steps": "a row of training metrics averages 50 steps: leave it out",
    "enable_checkpointing": "use trainer.checkpoint_at",
    "enable_progress_bar": "use trainer.progress",
    "enable_model_summary": "metrics.json has the number of parameters: leave it out",
    "default_root_dir": "use output_dir",
    "inference_mode": "some measures take gradients: leave it out",
    "profiler": "use a profiler of Python's: leave it out",
    "use_distributed_sampler": "each process has its share of every batch: leave it out",
    "reload_dataloaders_every_n_epochs": "batches are a function of seed and step: leave it out",
}
CHOICES: dict[str, tuple[Any, ...]] = {
    "gradient_clip_algorithm": ("norm", "value"),
    "deterministic": (True, False, "warn"),
    "benchmark": (True, False),
    "detect_anomaly": (True, False),
    "sync_batchnorm": (True, False),
}
ALLOWED = ("gradient_clip_val", *CHOICES)


def check_options(options: Mapping[str, Any], one_process: bool = False) -> None:
    """Checks what is handed to Lightning's Trainer beside the trainer's own settings.

    Args:
        options: By the names of its arguments.
        one_process: Whether one process trains.

    Raises:
        ValueError: If one would count samples wrongly, end a run early or have no effect, or has a value that
            it cannot have.

    Example:
        >>> check_options({"gradient_clip_val": 1.0})
        >>> check_options({"max_time": "00:01:00"})
        Traceback (most recent call last):
        ValueError: options must not hold max_time; a budget is in samples: use trainer.max_samples.
    """
    for name, value in options.items():
        if name in REPLACEMENTS:
            raise ValueError(f"options must not hold {name}; {REPLACEMENTS[name]}.")
        if name not in ALLOWED:
            raise ValueError(f"options.{name} does not exist{did_you_mean(name, ALLOWED)}")
        choices = CHOICES.get(name)
        if choices and not any(type(value) is type(choice) and value == choice for choice in choices):
            words = " or ".join(str(choice).lower() for choice in choices)
            raise ValueError(f"options.{name} must be {words}, got {value!r}.")
    clip = options.get("gradient_clip_val", 1)
    if isinstance(clip, bool) or not isinstance(clip, int | float) or not 0 < clip < math.inf:
        raise ValueError(f"options.gradient_clip_val must be a number above 0, got {clip!r}.")
    if "gradient_clip_algorithm" in options and "gradient_clip_val" not in options:
        raise ValueError(
            "options.gradient_clip_algorithm needs options.gradient_clip_val, which is not given."
        )
    if options.get("sync_batchnorm") and one_process:
        raise ValueError("options.sync_batchnorm has no effect on one process; leave it out.")
