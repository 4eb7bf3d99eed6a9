"""Which folders of images are the training, the validation and the test part, by their names."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from vae_lab.errors import UserError

PARTS = {
    "train": ("train", "training", "trainset", "tr"),
    "validation": ("validation", "validate", "valid", "val", "valset", "dev", "development"),
    "test": ("test", "testing", "testset", "ts", "te", "eval", "evaluation"),
}
PART_OF = {name: part for part, names in PARTS.items() for name in names}
FILLERS = ("data", "image", "images", "img", "imgs", "part", "set", "split")
WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
SUGGESTED = re.compile("(train|valid|test)")


def part_folders(images: Iterable[str], root: Path) -> dict[str, str]:
    """The folder of each part among those that hold images; empty where all are one part.

    Args:
        images: Their paths within the folder.
        root: The folder, for messages.

    Raises:
        UserError: If folders look like parts, but not clearly so.
    """
    below = _folders(images)
    parts = {name: part for name in sorted(below[""]) if (part := part_of(name)) is not None}
    _check_suggestions(below, parts, root)
    if not parts:
        return {}
    if "train" not in parts.values():
        raise UserError(
            f"dataset.path: {_listed(parts)} in {root} looks like a part, and no folder like the training "
            "part; name the training part train, or put classes into one folder named train."
        )
    folders = {part: [name for name in parts if parts[name] == part] for part in PARTS}
    for part, names in folders.items():
        if len(names) > 1:
            raise UserError(
                f"dataset.path: {_listed(names)} in {root} look like one part, {part}; leave one there."
            )
    if unknown := sorted(below[""] - set(parts)):
        raise UserError(
            f"dataset.path: {_listed(unknown)} beside {folders['train'][0]} in {root} would be left out; its "
            "folders must be train, validation and test; put classes into one folder named train."
        )
    return {part: names[0] for part, names in folders.items() if names}


def part_of(folder: str) -> str | None:
    """The part that a folder's name says, or None.

    Example:
        >>> [part_of(name) for name in ("Training", "val2017", "test_set", "imagesTs", "trainers", "cats")]
        ['train', 'validation', 'test', 'test', None, None]
    """
    words = [word.lower() for word in WORDS.findall(folder)]
    rest = [word for word in words if word not in FILLERS]
    return PART_OF.get(rest[0]) if len(rest) == 1 else None


def _suggested(folder: str) -> str | None:
    """The part that a folder's name may mean, as trainA, test_cats or cats_test."""
    match = SUGGESTED.match(folder.lower())
    words = [match[1]] if match else [word.lower() for word in WORDS.findall(folder)]
    parts = [PART_OF[word] for word in words if word in PART_OF and len(word) > 2]
    return part_of(folder) or next(iter(parts), None)


def _folders(images: Iterable[str]) -> Mapping[str, set[str]]:
    """The names of the folders with images in each folder."""
    below: dict[str, set[str]] = defaultdict(set)
    for folder in {posixpath.dirname(image) for image in images}:
        while folder:
            parent, name = posixpath.split(folder)
            below[parent].add(name)
            folder = parent
    return below


def _check_suggestions(below: Mapping[str, set[str]], known: Iterable[str], root: Path) -> None:
    """Refuses names that may mean two parts, where parts are not looked for."""
    for parent, names in sorted(below.items()):
        parts = {name: part for name in sorted(names) if (part := _suggested(name)) is not None}
        if len(set(parts.values())) > 1 and (parent or not known):
            alone = parent and below[""] == {parent.split("/")[0]}
            fix = f"give dataset.path={root / parent}" if alone else f"name them train and test in {root}"
            raise UserError(f"dataset.path: {_listed(parts)} in {root / parent} look like parts; {fix}.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
