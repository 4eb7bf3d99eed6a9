"""The latent space of a trained model, as its decoder sees it."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from vae_lab.evaluation.codes import Codes
from vae_lab.evaluation.density_regions import density_levels, prior_samples
from vae_lab.evaluation.projection import Projected
from vae_lab.figures.aggregate_posterior import Contours, aggregate_posterior
from vae_lab.figures.interpolations import End, interpolations
from vae_lab.figures.manifold import SIDE, manifold_points, mosaics
from vae_lab.figures.traversals import Scale, traversals
from vae_lab.priors import StandardNormal
from vae_lab.sampling import tensor_of
from vae_lab.trained import TrainedModel
from vae_lab.vae import VAE

MOST = 20  # dimensions in a figure or a table
MASSES = (0.5, 0.95)
GRID = 150  # points along each axis at which a density is known


class Datum(NamedTuple):
    """One of the data.

    Args:
        name: What it is called.
        x: The datum, `(1, *data_shape)`.
        number: In its part of the dataset; 0 for a file.
    """

    name: str
    x: Tensor
    number: int = 0


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
    def is_normal(self) -> bool:
        """Whether the prior is the standard normal, and the codes are trained towards it."""
        return self.model.parts.has_density and isinstance(self.vae.prior, StandardNormal)

    def decode(self, z: Tensor) -> Tensor:
        """The means of p(x|z) for what the decoder sees of z, `(N, seen)`."""
        return self.model.decode(pad(z, (0, self.vae.latent_dim - self.seen))).cpu().float()

    def scale(self) -> Scale:
        """That of the prior, from samples where it is not the standard normal; else that of the codes."""
        if self.is_normal:
            return Scale(torch.zeros(self.seen), torch.ones(self.seen), "value of the dimension")
        if not self.model.parts.has_density:
            dimensions = self.codes.dimensions
            std = dimensions.variances.clamp(min=0).sqrt()
            return Scale(dimensions.means.float(), std.float(), "standard deviations of the codes")
        z = prior_samples(self.vae.prior, tensor_of(self.vae), self.model.noise).cpu()[:, : self.seen]
        return Scale(z.mean(0), z.std(0), "standard deviations of the prior")

    def described(self) -> list[tuple[int, str, bool]]:
        """The dimensions in their order, what is said of each, and whether it is active."""
        kl, variances, _ = self.codes.dimensions
        active = self.codes.dimensions.active.tolist()
        said = [f"variance {v:.2g}" for v in variances] if kl is None else [f"{d:.2f} nats" for d in kl]
        return [(d, said[d], active[d]) for d in self.codes.dimensions.order(self.seen)]

    def draw_manifold(self, path: Path) -> list[str]:
        """Draws p(x|z) over two dimensions; says why not where it cannot."""
        if self.vae.latent_dim != 2:
            return []
        if not self.is_normal:
            kind = type(self.vae.prior).__name__ if self.model.parts.has_density else "none"
            return [f"manifold.png is left out: it needs a standard normal prior, and this model has {kind}"]
        if len(self.model.data_shape) != 3:
            return ["manifold.png is left out: the data are no images"]
        images = self.decode(manifold_points(SIDE)).clamp(0, 1)
        mosaics([("means of p(x|z), z through the quantiles of the prior", images, SIDE)], path)
        return []

    def draw_traversals(self, around: End | None, reach: float, steps: int, path: Path) -> list[str]:
        """Draws what each dimension does; says how many are left out."""
        scale, dimensions = self.scale(), self.described()
        shown = dimensions[:MOST]
        of = "codes" if not self.model.parts.has_density else "prior"
        where = f"the mean of the {of}" if around is None else f"the code of {around.name}"
        left_out = len(dimensions) - len(shown)
        number = f"the first {MOST} of {len(dimensions)} dimensions" if left_out else "each dimension"
        grey = "; grey: inactive" if not all(is_active for *_, is_active in shown) else ""
        title = f"means of p(x|z): {number} moved around {where}{grey}"
        middle = scale.mean if around is None else around.z
        traversals(self.decode, middle, scale, shown, reach, steps, title, path)
        if not left_out:
            return []
        return [f"traversals.png shows the first {MOST} dimensions, and leaves out {left_out}"]

    def draw_interpolation(self, start: End, end: End, steps: int, path: Path) -> None:
        """Draws the paths between two data."""
        title = f"means of p(x|z) between {start.name} and {end.name}"
        interpolations(self.decode, start, end, steps, title, path)

    def draw_codes(
        self, plane: Projected, labels: Tensor | None, names: tuple[str, str], title: str, path: Path
    ) -> None:
        """Draws the codes in the plane, and the prior where it is one of two dimensions."""
        is_plane = self.vae.latent_dim == 2 and self.model.parts.has_density
        contours = self._contours(plane.coordinates) if is_plane else None
        aggregate_posterior(plane.coordinates, labels, names, title, contours, path)

    def _contours(self, coordinates: Tensor) -> Contours:
        like = tensor_of(self.vae)
        samples = prior_samples(self.vae.prior, like, self.model.noise)
        both = torch.cat([coordinates, samples.cpu().double()])
        low, high = both.min(0).values, both.max(0).values
        axes = [torch.linspace(float(a), float(b), GRID) for a, b in zip(low, high, strict=True)]
        grid = torch.cartesian_prod(axes[0], axes[1])
        with torch.no_grad():
            log_p = self.vae.prior.log_prob(grid.to(like).unsqueeze(0))[0].cpu().double()
        levels = density_levels(self.vae.prior, samples, MASSES)
        named = {level: f"{mass:.0%}" for level, mass in zip(levels, MASSES, strict=True)}
        return Contours(axes[0], axes[1], log_p.reshape(GRID, GRID).T, named)
