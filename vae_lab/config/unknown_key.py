"""Messages for keys and flags that no command has, with what may be meant."""

import difflib
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from vae_lab.config.options import groups
from vae_lab.config.schema import TRAINING_GROUPS
from vae_lab.config.suggest import keys_like, options_with
from vae_lab.errors import UserError, did_you_mean


class Key(NamedTuple):
    """A key that does not exist, and the command in whose configuration it was looked for.

    Args:
        path: The whole key, such as `model.latnt_dim`.
        config_name: The command's primary configuration.
    """

    path: str
    config_name: str

    @property
    def name(self) -> str:
        """Its last part."""
        return self.path.rpartition(".")[2]

    @property
    def parent(self) -> str:
        """The key above it; "" at the root."""
        return self.path.rpartition(".")[0]

    @property
    def siblings(self) -> list[str]:
        """The names that are there instead."""
        return _names_below(self.parent, self.config_name)

    @property
    def is_below_value(self) -> bool:
        """Whether it lies below a number, a list or the like."""
        above, _, name = self.parent.rpartition(".")
        node = _node(above, self.config_name)
        plain: Any = OmegaConf.to_container(node) if above and isinstance(node, DictConfig) else {}
        return name in plain and not isinstance(plain[name], dict)


def explain_unknown_key(path: str, config_name: str) -> str:
    """The message for a key that does not exist.

    Args:
        path: The whole key.
        config_name: The command's primary configuration.
    """
    key = Key(path, config_name)
    return next(message for reason in REASONS if (message := reason(key)) is not None)


def key_below_value(config_name: str) -> str | None:
    """The message for the first key of the command line that lies below a value; None if there is none."""
    keys = [Key(word.partition("=")[0], config_name) for word in sys.argv[1:] if "=" in word]
    return next((explain_unknown_key(*key) for key in keys if key.is_below_value), None)


def unknown_flag(word: str, following: str | None, config_name: str) -> UserError:
    """The error for `--epochs 10` and its like.

    Args:
        word: What begins with a dash.
        following: The word after it, if there is one.
        config_name: The command's primary configuration.
    """
    name, _, value = word.lstrip("-").partition("=")
    if not value and following and "=" not in following and not following.startswith("-"):
        value = following
    meant = keys_like(name.replace("-", "_"), _node("", config_name) or {})
    hints = [key if "=" in key else f"{key}={value}" for key in meant]
    fix = f"write {' or '.join(hints)}" if hints else "keys are given as key=value"
    return UserError(f"{word} is not understood: {fix}; vae-lab {config_name} --help lists the keys.")


def _of_hydra(key: Key) -> str | None:
    return f"{key.path} does not exist; +{key.path}=... adds it." if key.path.startswith("hydra.") else None


def _with_package(key: Key) -> str | None:
    group, at, _ = key.path.partition("@")
    return f"{key.path} does not exist; did you mean {group}?" if at else None


def _of_other_options(key: Key) -> str | None:
    options = options_with(key.path) if key.path in groups() else []
    if not options:
        return None
    return f"{key.path} is not a part of this model or command, but of {', '.join(options)}."


def _no_group(key: Key) -> str | None:
    return (
        f"{key.path} is not a group of options{did_you_mean(key.path, groups())}" if "/" in key.path else None
    )


def _below_value(key: Key) -> str | None:
    if not key.is_below_value:
        return None
    return f"{key.path} does not exist: {key.parent} is given as a whole, {key.parent}=..."


def _below_nothing(key: Key) -> str | None:
    """The mistake is higher up, unless what is there is empty."""
    if not key.parent or key.siblings:
        return None
    above = Key(key.parent, key.config_name)
    if above.name in above.siblings:
        return f"{key.path} does not exist: {key.parent} is empty."
    return explain_unknown_key(*above)


def _of_training(key: Key) -> str | None:
    siblings, is_there = key.siblings, key.parent in _names_below("", key.config_name)
    is_refused = "_target_" not in siblings or key.name in siblings
    if key.parent not in TRAINING_GROUPS or not is_there or not is_refused:
        return None
    return (
        f"{key.path} must be left out for a model that fits itself, which has no {key.parent}; in a sweep "
        "over models, give it to the others alone."
    )


def _no_argument_of_chosen(key: Key) -> str | None:
    words = sys.argv[1:]
    if not any(word.startswith(f"{key.parent}._target_=") for word in words):
        return None
    typed = next((word for word in words if word.startswith(f"{key.path}=")), f"{key.path}=VALUE")
    return f"{key.path} is no argument of the option that is chosen; write +{typed}."


def _misspelt(key: Key) -> str | None:
    known = [name for name in key.siblings if not name.startswith("_")]
    slip = difflib.get_close_matches(key.name, known, n=1, cutoff=0.8)
    meant = [] if slip else keys_like(key.name, _node("", key.config_name) or {}, near=key.parent)
    return f"{key.path} does not exist{did_you_mean(key.name, known, meant)}"


REASONS: tuple[Callable[[Key], str | None], ...] = (
    _of_hydra,
    _with_package,
    _of_other_options,
    _no_group,
    _below_value,
    _of_training,
    _below_nothing,
    _no_argument_of_chosen,
    _misspelt,
)


def _names_below(parent: str, config_name: str) -> list[str]:
    """The keys of a node of the configuration."""
    node = _node(parent, config_name)
    return sorted(str(key) for key in node) if isinstance(node, DictConfig) else []


def _node(key: str, config_name: str) -> Any:
    """A node of the configuration that the command line's choices of options make; the whole for ""."""
    of_sweep = [word for word in sys.argv[1:] if word.startswith(("hydra.searchpath=", "+sweeps="))]
    choices = [word for word in sys.argv[1:] if re.fullmatch(r"[\w/]+=[\w/]+", word)]
    for overrides in ([*of_sweep, *choices], of_sweep):
        with suppress(Exception):
            config = _composed(config_name, *overrides)
            return OmegaConf.select(config, key) if key else config
    return None


@cache
def _composed(config_name: str, *overrides: str) -> DictConfig:
    """A configuration, composed once for all that is asked of it."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from vae_lab.files.paths import CONF

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(config_name, list(overrides))
