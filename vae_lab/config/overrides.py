"""Values as Hydra's grammar reads them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

PLAIN = re.compile(r"[\w./+@-]+")


def literal(value: Any) -> str:
    """A value as Hydra's grammar reads it.

    Example:
        >>> literal([128, "a b", None, True, 1e-3])
        "[128,'a b',null,true,0.001]"
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(map(literal, value)) + "]"
    text = str(value)
    return text if PLAIN.fullmatch(text) else quoted(text)


def quoted(text: str) -> str:
    r"""A word that Hydra's grammar takes as it is, whatever it looks like.

    Example:
        >>> quoted("59e074444826")
        "'59e074444826'"
        >>> print(quoted(r"it's C:\of ${seed}"))
        'it\'s C:\of \${seed}'
    """
    text = re.sub(r"(\\*)'", r"\1\1\'", text)
    text = re.sub(r"(\\*)\$\{", r"\1\1\${", text)
    return "'" + re.sub(r"(\\+)$", r"\1\1", text) + "'"
