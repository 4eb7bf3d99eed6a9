"""A result while it is made."""

from collections.abc import Mapping
from typing import Any

from vae_lab.runs.code import Code, of_a_mixture
from vae_lab.runs.provenance import made_by
from vae_lab.runs.result import Result


class Writing:
    """The result of a run while it is made, or the one that is there already.

    Args:
        done: The result that is there, if the run is done.
    """

    def __init__(self, done: Result | None) -> None:
        self.is_done = done is not None
        self._result = done

    @property
    def result(self) -> Result:
        """The result; there is one once the run is done."""
        assert self._result is not None, "the run has kept no result"
        return self._result

    def keep(
        self, entries: Mapping[str, Any], code: Code, device: Any, code_of_run: str | None = None
    ) -> None:
        """Takes the entries of the result, which get those that say what made it.

        Args:
            entries: In the order in which they are written.
            code: The sources behind them; with its history, if the run went on under other code.
            device: torch's device that the run used.
            code_of_run: Name of the code of the run that a command was given.
        """
        made = made_by(code, device)
        if code_of_run is not None:
            made["provenance"]["code_of_run"] = code_of_run
        result = Result.of(entries) | made
        if mixture := of_a_mixture(code.get("history", [])):
            result |= {"notes": result.notes + mixture}
        self._result = result
