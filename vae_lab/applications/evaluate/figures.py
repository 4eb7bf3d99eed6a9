"""How many nats each latent dimension carries."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from vae_lab.figures.style import COLOURS, figure


def kl_per_dimension(kl: Sequence[float], path: Path) -> None:
    """Draws the mean KL term of each latent dimension, the largest first.

    Args:
        kl: In nats, `D` of them.
        path: Where the PNG goes.
    """
    with figure(path, width=4.8, height=2.6) as canvas:
        axes = canvas.subplots()
        axes.bar(range(1, len(kl) + 1), sorted(kl, reverse=True), color=COLOURS["validation"], width=0.8)
        axes.set_xlabel("latent dimension, by its KL")
        axes.set_ylabel("KL(q(z|x) || p(z))\nin nats")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=False, axis="x")
