"""A dataset held to what every dataset owes."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from vae_lab.checks.finding import DoesNotApplyError, Finding, finding_of
from vae_lab.datasets.base import SplitDataset
from vae_lab.models.likelihoods.support import extremes
from vae_lab.numerics.streamed import subsample

Make = Callable[[], SplitDataset]
PARTS = ("train", "validation", "test")
MARGIN = 0.02  # share of duplicates by which two parts may have more in common than one has in itself


def check_dataset(make: Make) -> Iterator[Finding]:
    """Checks that the parts of a dataset are the same at every call, apart from each other, and of numbers.

    Args:
        make: Makes one.

    Yields:
        The findings, as they come.
    """
    name = type(make()).__name__
    loads = finding_of("parts", name, partial(_parts, make))
    yield loads
    if loads.status != "passed":
        return
    for check, test in {
        "the same again": _again,
        "parts apart": _apart,
        "values": _values,
        "labels": _labels,
        "batches": _batches,
    }.items():
        yield finding_of(check, name, partial(test, make))


def _looked_at(dataset: SplitDataset, part: str) -> Tensor:
    return subsample(getattr(dataset.data, part).x)


def _parts(make: Make) -> str:
    data = make().data
    shapes = {name: tuple(getattr(data, name).x.shape[1:]) for name in PARTS if len(getattr(data, name).x)}
    assert {"train", "test"} <= shapes.keys(), "training and test part must not be empty"
    assert len(set(shapes.values())) == 1, f"the data of the parts have different shapes: {shapes}"
    sizes = ", ".join(f"{len(getattr(data, name).x):,} {name}" for name in PARTS)
    return f"{sizes}, each of shape {shapes['train']}"


def _again(make: Make) -> str:
    first = make()
    parts = {name: _looked_at(first, name) for name in PARTS}
    torch.manual_seed(12345)
    second = make()
    for name in PARTS:
        assert torch.equal(parts[name].nan_to_num(), _looked_at(second, name).nan_to_num()), (
            f"a second call gives another {name} part; draw by a torch.Generator of split_seed"
        )
    return "three parts"


def _digests(x: Tensor) -> list[bytes]:
    rows = x.flatten(1).contiguous().numpy()
    return [hashlib.sha256(row.tobytes()).digest() for row in rows]


def _apart(make: Make) -> str:
    data = make().load()
    train, *others = (_digests(subsample(part.x)) for part in data)
    if len(train) == 1:
        raise DoesNotApplyError("has one datum")
    counts = Counter(train)
    twice = sum(counts[digest] > 1 for digest in train) / len(train)  # as often as by chance
    shares = {}
    for name, digests in zip(PARTS[1:], others, strict=True):
        shares[name] = sum(digest in counts for digest in digests) / max(1, len(digests))
        assert shares[name] <= twice + MARGIN, (
            f"{100 * shares[name]:.0f} % of the {name} part are in the training part, too, of which "
            f"{100 * twice:.0f} % occur more than once"
        )
    return "; ".join(f"{100 * share:.1f} % of {name} are in train" for name, share in shares.items())


def _values(make: Make) -> str:
    dataset = make()
    values = [_looked_at(dataset, name) for name in PARTS]
    for name, x in zip(PARTS, values, strict=True):
        assert x.dtype == torch.float32, f"the {name} part must be of float32, got {x.dtype}"
        bad = int(x.isinf().sum()) + (0 if dataset.incomplete else int(x.isnan().sum()))
        assert not bad, f"{bad:,} values of the {name} part are not finite"
    low, high = extremes(*(x for x in values if x.numel()))
    if low >= 0 and high <= 1:
        return f"from {low:g} to {high:g}, for model/likelihood=bernoulli and every other"
    return (
        f"from {low:.4g} to {high:.4g}, for model/likelihood=gaussian; divide them for likelihoods on [0, 1]"
    )


def _labels(make: Make) -> str:
    data = make().data
    parts = {name: getattr(data, name) for name in PARTS}
    if all(part.labels is None for part in parts.values()):
        raise DoesNotApplyError("has none")
    for name, part in parts.items():
        assert part.labels is not None, f"the {name} part has no labels, and others have"
        assert len(part.labels) == len(part.x), (
            f"the {name} part has {len(part.x)} data and {len(part.labels)} labels"
        )
    assert parts["train"].labels is not None
    return f"{len(parts['train'].labels.unique())} classes"


def _batches(make: Make) -> str:
    first, second = make(), make()
    device = torch.device("cpu")
    runs = [list(dataset.training_batches(3, device=device)) for dataset in (first, second)]
    assert all(torch.equal(a.x.nan_to_num(), b.x.nan_to_num()) for a, b in zip(*runs, strict=True)), (
        "training batches are not the same for the same seed"
    )
    later = next(iter(second.training_batches(3, first_step=2, device=device)))
    assert torch.equal(later.x.nan_to_num(), runs[0][2].x.nan_to_num()), (
        "a training that goes on from step 2 would see other data than one that was not interrupted"
    )
    return "functions of seed and step"
