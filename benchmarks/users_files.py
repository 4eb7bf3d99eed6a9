"""Puts into a folder what a user may have there: notes, a repository, pictures, data good and bad."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image


def main() -> None:
    """Makes them all."""
    here = Path(sys.argv[1])
    texts = {
        "notes.md": "to keep", "thesis/.git/config": "[core]", "thesis/chapter.tex": "\\section{}",
        "home/.ssh/id": "key",
        "paper/table.csv": "a,b", "paper/figures/one.txt": "1", "../../beside.txt": "x", "../near.txt": "y",
        "outputs/notes.md": "mine", "outputs/runs/mine/results.txt": "1",
        "data/text.npy": "no array", "data/junk.npz": "PK junk", "data/junk.png": "no image",
        "data/empty.npy": "",
        "data/broken_images/a.png": "junk", "data/nested/train/a/b/c.txt": "",
    }  # fmt: skip
    for name, text in texts.items():
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (here / "empty").mkdir()
    (here / "link").symlink_to("photos")
    arrays(here)
    images(here)


def arrays(here: Path) -> None:
    """Arrays that can be trained on, and many that cannot."""
    chance = np.random.default_rng(0)
    good = chance.random((60, 8, 8)).astype("float32")
    np.save(here / "faces.npy", good)
    data = {
        "strings": np.array(["a", "b"] * 30), "objects": np.array([{}, None] * 30, dtype=object),
        "complex": good + 1j, "nan": np.where(good > 0.5, np.nan, good), "inf": good * np.inf,
        "negative": good - 5,
        "one": good[:1], "zero_rows": good[:0], "scalar": np.float32(1),
        "five_dims": good.reshape(60, 1, 2, 4, 8),
        "bytes": (good * 255).astype("uint8"), "bool": good > 0.5, "big_endian": good.astype(">f8"),
        "fortran": np.asfortranarray(good),
    }  # fmt: skip
    for name, array in data.items():
        np.save(here / "data" / f"{name}.npy", array)
    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
    text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000), }"
    (here / "data" / "huge_header.npy").write_bytes(header + text.ljust(117) + b"\n")
    np.savez(here / "data" / "parts.npz", train=good[:40], test=good[40:])
    np.savez(here / "data" / "no_train.npz", test=good)
    np.savez(here / "data" / "shapes.npz", train=good[:40], test=good[40:, :4])
    np.savez(here / "data" / "labels.npz", data=good, labels=np.arange(3))


def images(here: Path) -> None:
    """Folders of images."""
    chance = np.random.default_rng(1)

    def save(name: str, *size: int) -> None:
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(chance.integers(0, 256, (*size, 3), dtype="uint8")).save(path)

    for number in range(20):
        save(f"photos/{number}.png", 8, 8)
        save(f"data/training_testing/{'training' if number < 15 else 'testing'}/{number}.png", 8, 8)
        save(f"data/images_of_sizes/{number}.png", number + 1, 30)
        save(f"data/nested/train/{number % 3}/{number}.png", 8, 8)
    save("data/broken_images/b.png", 8, 8)
    save("data/one_image/a.png", 8, 8)
    save("data/image.png", 8, 8)


if __name__ == "__main__":
    main()
