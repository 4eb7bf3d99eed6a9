"""Groups of options in `conf/`, and the options of each."""

from functools import cache

from vae_lab.files.paths import CONF


@cache
def groups() -> list[str]:
    """The groups of options, such as `model/encoder`."""
    folders = {str(path.parent.relative_to(CONF)) for path in CONF.rglob("*.yaml")}
    return sorted(folders - {"."})


@cache
def options_of(group: str) -> list[str]:
    """The options of a group, such as `mnist` of `dataset`."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))
