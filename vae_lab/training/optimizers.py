"""Optimizers and learning-rate schedules, built from configuration."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

CHECKED_STEPS = 4  # of a schedule


class OptimizerFactory:
    """An algorithm with its settings, waiting for parameters; fused where torch has a fused implementation.

    Args:
        algorithm: A `torch.optim` class with its own settings bound.
        lr: Learning rate, above 0.
        weight_decay: Weight of half the squared norm, not negative; with a mean loss per datum, 1/N is the
            prior N(0, I) on the parameters (Kingma & Welling, 2014, section 5).
        decays: Which parameters decay: `all`, or those of the generative model p(x, z) alone, on which a
            Bayesian has a prior.
        schedule: A `torch.optim.lr_scheduler` class with its own settings bound, or None for a constant rate.
        schedule_interval: What the schedule counts.

    Raises:
        ValueError: If `lr` is not above 0, `weight_decay` is negative, or one is not finite.

    Example:
        >>> factory = OptimizerFactory(torch.optim.Adam, lr=1e-3)
        >>> factory.optimizer([torch.nn.Parameter(torch.zeros(2))]).defaults["lr"]
        0.001
    """

    def __init__(
        self,
        algorithm: Callable[..., Optimizer],
        lr: float,
        weight_decay: float = 0.0,
        decays: Literal["all", "generative"] = "all",
        schedule: Callable[..., LRScheduler] | None = None,
        schedule_interval: Literal["step", "epoch"] = "epoch",
    ) -> None:
        if not (lr > 0 and math.isfinite(lr)):
            raise ValueError(f"lr must be above 0 and finite, got {lr}.")
        if not (weight_decay >= 0 and math.isfinite(weight_decay)):
            raise ValueError(f"weight_decay must be finite and not negative, got {weight_decay}.")
        self.algorithm = algorithm
        self.lr = lr
        self.weight_decay = weight_decay
        self.decays = decays
        self.schedule = schedule
        self.schedule_interval = schedule_interval

    def optimizer(
        self, generative: Iterable[torch.nn.Parameter], others: Iterable[torch.nn.Parameter] = ()
    ) -> Optimizer:
        """The optimizer of the generative model's parameters and of the others."""
        settings = {"lr": self.lr, "weight_decay": self.weight_decay}
        if self.decays == "all":
            parameters: list[Any] = [*generative, *others]
        else:
            parameters = [{"params": list(generative)}, {"params": list(others), "weight_decay": 0.0}]
        try:
            return self.algorithm(parameters, **settings, fused=True)
        except (RuntimeError, TypeError, ValueError):  # no fused implementation for this algorithm or device
            return self.algorithm(parameters, **settings)

    def check(self) -> None:
        """Takes some steps with a parameter of one number, and with the schedule's rates.

        Raises:
            ValueError: If a setting has no effect, torch refuses one, or the rates are no rates.
        """
        for name in ("lr", "weight_decay"):
            if name in getattr(self.algorithm, "keywords", {}):
                raise ValueError(f"algorithm.{name} has no effect; use {name}.")
        parameter = torch.nn.Parameter(torch.zeros(1))
        parameter.grad = torch.ones(1)
        try:
            optimizer = self.algorithm([parameter], lr=self.lr, weight_decay=self.weight_decay)
            optimizer.step()
        except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
            raise ValueError(f"algorithm cannot take a step with its settings ({error}).") from error
        try:
            rates = self._rates(optimizer)
        except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
            raise ValueError(f"schedule cannot take a step with its settings ({error}).") from error
        if not all(math.isfinite(rate) and rate >= 0 for rate in rates):
            raise ValueError(f"schedule must give rates that are finite and not negative, got {rates}.")

    def _rates(self, optimizer: Optimizer) -> list[float]:
        """The first learning rates."""
        if self.schedule is None:
            return [self.lr]
        schedule, rates = self.schedule(optimizer), []
        for _ in range(CHECKED_STEPS):
            rates.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            schedule.step()
        return rates

    def lightning(
        self,
        generative: Iterable[torch.nn.Parameter],
        others: Iterable[torch.nn.Parameter],
        steps_per_epoch: int,
    ) -> dict[str, Any]:
        """The optimizer and its schedule, as `LightningModule.configure_optimizers` returns them."""
        optimizer = self.optimizer(generative, others)
        if self.schedule is None:
            return {"optimizer": optimizer}
        every = 1 if self.schedule_interval == "step" else steps_per_epoch
        scheduler = {"scheduler": self.schedule(optimizer), "interval": "step", "frequency": every}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}


class Burda2016(LambdaLR):
    r"""$3^i$ passes through the data at the rate $\eta\, 10^{-i/7}$ for `i` from 0 to 7.

    The stages begin at the passes 0, 1, 4, 13, 40, 121, 364 and 1093, and the last ends at 3280.

    References:
        Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), section 5.

    Args:
        optimizer: Whose rates are those of the first pass.

    Example:
        >>> optimizer = torch.optim.Adam([torch.zeros(1)], lr=1e-3)
        >>> schedule = Burda2016(optimizer)
        >>> [round(1e3 * schedule.lr_lambdas[0](epoch), 1) for epoch in (0, 1, 3, 4, 1093, 5000)]
        [1000.0, 719.7, 719.7, 517.9, 100.0, 100.0]
    """

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer, lambda epoch: 10 ** (-_stage(epoch) / 7))


class Mohamed2020(LambdaLR):
    r"""A quarter of a cosine, $\eta \cos\left(\frac{\pi}{2} \frac{t}{T}\right)$, and 0 from `T` on.

    References:
        Monte Carlo Gradient Estimation in Machine Learning (Mohamed, Rosca, Figurnov & Mnih, 2020), the code
        of section 8.

    Args:
        optimizer: Whose rates are those of the first step.
        T_max: `T`, when the rate reaches zero, at least 1.

    Raises:
        ValueError: If `T_max` is below 1.

    Example:
        >>> schedule = Mohamed2020(torch.optim.SGD([torch.zeros(1)], lr=1.0), T_max=300)
        >>> [round(schedule.lr_lambdas[0](step), 3) for step in (0, 100, 200, 300, 400)]
        [1.0, 0.866, 0.5, 0.0, 0.0]
    """

    def __init__(self, optimizer: Optimizer, T_max: int) -> None:  # named as in torch's cosine
        if T_max < 1:
            raise ValueError(f"T_max must be at least 1, got {T_max}.")
        super().__init__(optimizer, lambda step: math.cos(0.5 * math.pi * min(1.0, step / T_max)))


def _stage(epoch: int) -> int:
    """How many of the stages 1, 3, 9, ... passes long are over, at most 7."""
    return next((i for i in range(7) if epoch < (3 ** (i + 1) - 1) // 2), 7)
