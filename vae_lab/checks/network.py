"""A network held to what every encoder and decoder owes."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn

from vae_lab.checks.common import check_close, check_device
from vae_lab.checks.finding import DoesNotApplyError, Finding, finding_of

SIZE = 5
ROLES = {"encoder": ((1, 8, 8), (6,)), "decoder": ((3,), (2, 8, 8))}  # shapes of an input and an output


def check_network(
    make: Callable[..., nn.Module], roles: tuple[str, ...] = ("encoder", "decoder")
) -> Iterator[Finding]:
    """Checks a network's shapes, and that each datum is encoded by itself, always alike.

    Args:
        make: Makes one with `in_shape` and `out_shape`.
        roles: Whether it is to be an `encoder`, a `decoder` or both.

    Yields:
        The findings, as they come.
    """
    for role in roles:
        in_shape, out_shape = ROLES[role]
        of_role = partial(make, in_shape=in_shape, out_shape=out_shape)
        shapes = finding_of("shapes", role, partial(_shapes, of_role, in_shape, out_shape))
        yield shapes
        if shapes.status != "passed":
            continue
        for check, test in {
            "each datum by itself": _each_datum,
            "the same again": _again,
            "gradients": _gradients,
            "single precision": _single,
            "device": _device,
            "saved state": _state,
        }.items():
            yield finding_of(check, role, partial(test, of_role, in_shape))


def _input(in_shape: tuple[int, ...], size: int = SIZE) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(size, *in_shape, generator=generator, dtype=torch.float64)


def _made(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().double()


def _shapes(make: Callable[[], nn.Module], in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> str:
    network = _made(make)
    for size in (1, SIZE):
        shape = tuple(network(_input(in_shape, size)).shape)
        assert shape == (size, *out_shape), (
            f"an input of shape {(size, *in_shape)} gives {shape}, not {(size, *out_shape)}"
        )
    return f"{in_shape} to {out_shape}, {sum(each.numel() for each in network.parameters()):,} parameters"


def _each_datum(make: Callable[[], nn.Module], in_shape: tuple[int, ...]) -> str:
    network, x = _made(make), _input(in_shape)
    whole = network(x)
    part = _made(make)(x[:2])
    assert torch.allclose(whole[:2], part, rtol=1e-8, atol=1e-10), (
        "an output depends on the other data of the batch, as by batch normalisation, which no bound and no "
        "estimator allows; use layer or group normalisation"
    )
    return "a part of the batch has the same outputs"


def _again(make: Callable[[], nn.Module], in_shape: tuple[int, ...]) -> str:
    network, x = _made(make), _input(in_shape)
    first = network(x)
    assert torch.equal(first, network(x)), "a second call gives other outputs, as by dropout"
    network.eval()
    assert torch.allclose(first, network(x)), "eval() gives other outputs than train()"
    return "in training and in evaluation"


def _gradients(make: Callable[[], nn.Module], in_shape: tuple[int, ...]) -> str:
    network, x = _made(make), _input(in_shape)
    outputs = network(x)
    generator = torch.Generator().manual_seed(2)
    outputs.mul(torch.randn(outputs.shape, generator=generator, dtype=outputs.dtype)).sum().backward()
    none = [name for name, each in network.named_parameters() if each.grad is None]
    assert not none, f"no gradient reaches {', '.join(none)}: several processes could not train it"
    if not list(network.parameters()):
        raise DoesNotApplyError("has no parameters")
    return "reach every parameter"


def _single(make: Callable[[], nn.Module], in_shape: tuple[int, ...]) -> str:
    network, x = _made(make), _input(in_shape)
    short = deepcopy(network).float()
    return check_close("output", short(x.float()).detach(), network(x).detach())


def _device(make: Callable[[], nn.Module], in_shape: tuple[int, ...]) -> str:
    there = _made(make).to("meta")
    return check_device(lambda: there(_input(in_shape).to("meta")))


def _state(make: Callable[[], nn.Module], in_shape: tuple[int, ...]) -> str:
    network, x = _made(make), _input(in_shape)
    torch.manual_seed(9)
    other = make().double()
    other.load_state_dict(network.state_dict())
    assert torch.equal(network(x), other(x)), "state_dict() does not hold all on which the outputs depend"
    return "comes back from a checkpoint"
