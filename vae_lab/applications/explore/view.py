"""The latent space of a trained model, as its decoder sees it."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from vae_lab.applications.explore.codes import Codes
from vae_lab.applications.explore.figures.interpolations import End, interpolations
from vae_lab.applications.explore.figures.traversals import Scale, traversals
from vae_lab.figures.manifold import SIDE, manifold_points, mosaics
from vae_lab.models.vae import VAE
from vae_lab.trained.model import TrainedModel

MAX_DIMENSIONS = 20  # dimensions in a figure or a table
SAMPLES = 10_000  # of a prior whose place is not known in closed form


class Datum(NamedTuple):
    """One of the data.

    Args:
        name: What it is called.
        x: The datum, `(1, *data_shape)`.
        position: In its part of the dataset; 0 for a file.
        label: Its class, if it is known.
    """

    name: str
    x: Tensor
    position: int = 0
    label: int | None = None


@dataclass(frozen=True)
class LatentView:
    """A latent space with the codes of data in it; what is shown are the dimensions that the decoder sees.

    Args:
        model: A VAE.
        codes: Of data.
    """

    model: TrainedModel
    codes: Codes

    @property
    def vae(self) -> VAE:
        """The model, which is a VAE."""
        return self.model.parts.vae

    @property
    def seen(self) -> int:
        """How many dimensions the decoder sees: all, or the first layer of several."""
        return int(self.vae.layer_dims[0])

    @property
    def has_prior(self) -> bool:
        """Whether the codes are trained towards the prior, as those of all but autoencoders are."""
        return self.model.parts.has_density

    @property
    def is_normal(self) -> bool:
        """Whether the codes are trained towards the standard normal."""
        return self.has_prior and self.vae.prior.is_standard_normal

    def decode(self, z: Tensor) -> Tensor:
        """The means of p(x|z) for what the decoder sees of z, `(N, seen)`."""
        return self.model.decode(pad(z, (0, self.vae.latent_dim - self.seen))).cpu().float()

    def prior_samples(self) -> Tensor:
        """Samples of the prior, `(N, D)`, always the same of a seed."""
        return self.model.sample_prior(SAMPLES, seed=self.model.noise.seed)

    def scale(self) -> Scale:
        """That of the prior, by quantiles where it is not the standard normal, or else that of the codes."""
        if self.is_normal:
            return Scale(torch.zeros(self.seen), lambda d, units: units, "value of the dimension")
        if not self.has_prior:
            dimensions = self.codes.dimensions
            mean, std = dimensions.means.float(), dimensions.variances.clamp(min=0).sqrt().float()
            return Scale(mean, lambda d, units: mean[d] + units * std[d], "standard deviations of the codes")
        z = self.prior_samples().cpu().float()[:, : self.seen]
        return Scale(
            z.median(0).values,
            lambda d, units: z[:, d].quantile(torch.special.ndtr(units)),
            "quantile of the prior, as that of a standard normal",
        )

    def described(self) -> list[tuple[int, str, bool]]:
        """The dimensions in their order, what is said of each, and whether it is active."""
        kl, variances, _ = self.codes.dimensions
        active = self.codes.dimensions.active.tolist()
        widths = [f"variance {v:.2g}" for v in variances] if kl is None else [f"{d:.2f} nats" for d in kl]
        return [(d, widths[d], active[d]) for d in self.codes.dimensions.order(self.seen)]

    def draw_manifold(self, path: Path) -> list[str]:
        """Draws p(x|z) over two dimensions; says why not where it cannot."""
        if self.vae.latent_dim != 2:
            return []
        if not self.is_normal:
            kind = type(self.vae.prior).__name__ if self.has_prior else "none"
            return [f"manifold.png is left out: needs a standard normal prior, and this model has {kind}"]
        if len(self.model.data_shape) != 3:
            return ["manifold.png is left out: the data are no images"]
        images = self.decode(manifold_points(SIDE)).clamp(0, 1)
        mosaics([("means of p(x|z), z through the quantiles of the prior", images, SIDE)], path)
        return []

    def draw_traversals(self, around: End | None, reach: float, steps: int, path: Path) -> list[str]:
        """Draws what each dimension does; says how many are left out."""
        scale, dimensions = self.scale(), self.described()
        shown = dimensions[:MAX_DIMENSIONS]
        of = "codes" if not self.has_prior else "prior"
        where = f"the middle of the {of}" if around is None else f"the code of {around.name}"
        left_out = len(dimensions) - len(shown)
        which = (
            f"the first {MAX_DIMENSIONS} of {len(dimensions)} dimensions" if left_out else "each dimension"
        )
        grey = "; grey: inactive" if not all(is_active for *_, is_active in shown) else ""
        title = f"means of p(x|z): {which} moved around {where}{grey}"
        middle = scale.middle if around is None else around.z
        traversals(self.decode, middle, scale, shown, reach, steps, title, path)
        if not left_out:
            return []
        return [f"traversals.png shows the first {MAX_DIMENSIONS} dimensions, and leaves out {left_out}"]

    def draw_interpolation(self, start: End, end: End, steps: int, path: Path) -> None:
        """Draws the paths between two data."""
        title = "means of p(x|z) on the way from one datum to another, which are at the ends"
        interpolations(self.decode, start, end, steps, title, path)
