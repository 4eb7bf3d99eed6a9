"""How far imputations are from the truth."""

import math
from collections.abc import Mapping

from torch import Tensor

from vae_lab.inference.terms import Statistic, Term, statistic
from vae_lab.models.likelihoods.support import is_on_levels


def imputation_scores(
    imputed: Mapping[str, Tensor], x: Tensor, missing: Tensor, log_likelihood: Tensor
) -> dict[str, Statistic]:
    """How good imputations are, and how likely what is missing is, by name.

    Args:
        imputed: What each method makes of the data, `(N, *data_shape)`.
        x: The truth.
        missing: Which pixels count, at least one.
        log_likelihood: log p(x_miss|x_obs) of each datum, `(N,)`.
    """
    scores = {f"rmse/{name}": root_mean_square_error(each, x, missing) for name, each in imputed.items()}
    if is_on_levels(x[missing], 2):
        scores |= {f"wrong/{name}": share_of_wrong(each, x, missing) for name, each in imputed.items()}
    return scores | {
        "log_likelihood/missing": statistic(Term(log_likelihood)),
        "log_likelihood/per_pixel": ratio_of_sums(log_likelihood, missing.flatten(1).sum(1)),
    }


def ratio_of_sums(numerators: Tensor, denominators: Tensor) -> Statistic:
    r"""$\sum_n a_n / \sum_n b_n$ over `N` data, with the standard error of a ratio estimator.

    $$\mathrm{se} = \frac{\mathrm{std}(a_n - r b_n)}{\sqrt N \, \bar b}$$

    References:
        Sampling techniques (Cochran, 1977), section 6.4.

    Example:
        >>> import torch
        >>> ratio_of_sums(torch.tensor([2.0, 4.0]), torch.tensor([1.0, 2.0])).value
        2.0
    """
    a, b = numerators.double(), denominators.double()
    ratio = (a.sum() / b.sum()).item()
    if len(a) < 2:
        return Statistic(ratio)
    return Statistic(ratio, (a - ratio * b).std().item() / (math.sqrt(len(a)) * b.mean().item()))


def root_mean_square_error(imputed: Tensor, x: Tensor, missing: Tensor) -> Statistic:
    """Over all missing pixels of all data, with the standard error over data.

    Args:
        imputed: `(N, *data_shape)`.
        x: The truth.
        missing: Which pixels count, at least one.
    """
    squares = (imputed - x).double().square().masked_fill(~missing, 0)
    mean_square = ratio_of_sums(squares.flatten(1).sum(1), missing.flatten(1).sum(1))
    root = math.sqrt(mean_square.value)
    return Statistic(root, mean_square.error / (2 * root) if root else 0.0)


def share_of_wrong(imputed: Tensor, x: Tensor, missing: Tensor) -> Statistic:
    """The share of missing binary pixels that the nearer value of 0 and 1 restores wrongly.

    Args:
        imputed: `(N, *data_shape)`.
        x: The truth, 0 or 1.
        missing: Which pixels count, at least one.
    """
    wrong = (((imputed > 0.5) != (x > 0.5)) & missing).flatten(1).sum(1)
    return ratio_of_sums(wrong, missing.flatten(1).sum(1))
