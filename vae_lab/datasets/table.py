"""A user's own table of numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vae_lab.datasets.base import Split, Splits
from vae_lab.datasets.own import OwnDataset
from vae_lab.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import polars as pl  # elsewhere where it is used: its threads do not outlive the fork of a job

READERS = {".csv": "read_csv", ".tsv": "read_csv", ".parquet": "read_parquet"}


class Table(OwnDataset):
    """The rows of a `.csv`, `.tsv` or `.parquet` file as vectors, in memory; an absent value is missing.

    Args:
        path: The file, whose first row has the names of the columns.
        columns: Those that make a datum, in this order; None for all numbers but the labels.
        labels: The column of classes: whole numbers or words, numbered in alphabetical order.
        standardize: Whether each column has the mean 0 and the standard deviation 1 of the training part.
        batch_size: Global batch size.
        validation_size: Rows held out for model selection: below 1 a share of them, else their number.
        test_size: Rows held out for the test, likewise.
        split_seed: Seed of the split.
        leave_out: As for `SplitDataset`.
        missing: As for `SplitDataset`.

    Raises:
        UserError: If the file is no such table, or a column is not there or holds no numbers.
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        path: str,
        columns: Sequence[str] | None = None,
        labels: str | None = None,
        standardize: bool = True,
        batch_size: int = 100,
        validation_size: float = 0.1,
        test_size: float = 0.1,
        split_seed: int = 0,
        leave_out: Sequence[int] = (),
        missing: float = 0.0,
    ) -> None:
        super().__init__(
            batch_size, "none", False, validation_size, test_size, split_seed, 0, leave_out, missing
        )
        self.path = Path(path).expanduser()
        self.columns = columns
        self.labels = labels
        self.standardize = standardize

    def splits(self) -> Mapping[str, Split]:
        import polars as pl

        table = self._read()
        labels, names = self._labels(table), self._columns(table)
        x = torch.from_numpy(table.select(pl.col(names).cast(pl.Float32)).to_numpy(writable=True))
        return {"train": Split(x, labels)}

    def load(self) -> Splits:
        parts = super().load()
        self.incomplete = self.incomplete or any(bool(part.x[:].isnan().any()) for part in parts)
        if not self.standardize:
            return parts
        x: Tensor = parts.train.x  # type: ignore[assignment]
        mean = x.nanmean(0)
        std = (x - mean).square().nanmean(0).sqrt()
        self.notes = [*self.notes, "dataset: each column is standardised by its training part"]
        scale = torch.where(std > 0, std, 1.0)
        return Splits(*(part.map(lambda values, numbers: (values - mean) / scale) for part in parts))

    def _read(self) -> "pl.DataFrame":
        if not self.path.is_file():
            raise UserError(f"dataset.path: there is no file {self.path.absolute()}.")
        import polars as pl
        from polars.exceptions import PolarsError

        if self.path.suffix not in READERS:
            raise UserError(f"dataset.path must end in {', '.join(READERS)}, got {self.path}.")
        try:
            separator = {"separator": "\t"} if self.path.suffix == ".tsv" else {}
            table: pl.DataFrame = getattr(pl, READERS[self.path.suffix])(self.path, **separator)
        except (PolarsError, OSError, ValueError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise UserError(f"dataset.path: {self.path} cannot be read as a table ({reason}).") from error
        if table.height == 0:
            raise UserError(f"dataset.path: {self.path} is a table without rows.")
        return table

    def _columns(self, table: "pl.DataFrame") -> list[str]:
        """The columns that make a datum."""
        is_number = {name: kind.is_numeric() or str(kind) == "Boolean" for name, kind in table.schema.items()}
        if self.columns is None:
            names = [name for name in table.columns if name != self.labels]
            if words := [name for name in names if not is_number[name]]:
                numbers = ", ".join(name for name in names if is_number[name])
                raise UserError(
                    f"dataset.path: {', '.join(words)} in {self.path} hold no numbers; name those that do, "
                    f"dataset.columns=[{numbers}], or a column of classes, dataset.labels={words[0]}."
                )
        else:
            names = list(self.columns)
        for name in names:
            if name not in is_number:
                raise UserError(
                    f"dataset.columns: {self.path} has no column {name}{did_you_mean(name, table.columns)}"
                )
            if not is_number[name]:
                raise UserError(
                    f"dataset.columns: {name} in {self.path} holds {table.schema[name]}, no numbers."
                )
        if not names:
            raise UserError(f"dataset.columns must name a column of numbers; {self.path} has none.")
        return names

    def _labels(self, table: "pl.DataFrame") -> Tensor | None:
        if self.labels is None:
            return None
        if self.labels not in table.columns:
            hint = did_you_mean(self.labels, table.columns)
            raise UserError(f"dataset.labels: {self.path} has no column {self.labels}{hint}")
        import polars as pl

        values = table[self.labels]
        if values.null_count():
            raise UserError(f"dataset.labels: {values.null_count()} values of {self.labels} are absent.")
        if values.dtype.is_integer():
            return torch.tensor(values.to_list())
        if values.dtype.is_float():
            raise UserError(
                f"dataset.labels: {self.labels} must be whole numbers or words, got {values.dtype}."
            )
        classes = {name: index for index, name in enumerate(sorted(set(values.cast(pl.String).to_list())))}
        return torch.tensor([classes[name] for name in values.cast(pl.String).to_list()])
