"""`distrain compare`: runs, or searches, beside each other, as one value."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from distrain.compare.outcome import Outcome, outcomes
from distrain.compare.sides import Side, find_sides
from distrain.compare.what_differs import Differences, what_differs
from distrain.display import Display
from distrain.object_store.link import shown


@final
@dataclass(frozen=True)
class CompareResult:
    """Runs, or searches, beside each other.

    Attributes:
        sides: the runs, in the order in which they were named.
        differences: what differs in what they were made from.
        outcomes: what came of them.
        notes: what there is to know of it, in words.
    """

    sides: tuple[Side, ...]
    differences: Differences
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "kind": "searches" if self.sides[0].is_search else "runs",
            "runs": [
                {
                    "letter": side.letter,
                    "run": side.key,
                    "run_dir": shown(side.run_dir),
                    "run_id": side.result.get("run_id"),
                    "status": side.status,
                }
                for side in self.sides
            ],
            "differences": [row.to_json() for row in self.differences.causes],
            "code": [change.to_json() for change in self.differences.code],
            "same": dict(self.differences.same),
            "outcome": [outcome.to_json() for outcome in self.outcomes],
            "notes": list(self.notes),
        }


@contextmanager
def compared(named: Sequence[str], *, storage: Path, display: Display) -> Iterator[CompareResult]:
    """Give what differs between runs, or between searches, and what came of that.

    What is fetched of runs at a store is there for the length of the block.

    Their models predict their test rows again, on the CPU, where both are at hand and that takes
    seconds; a model of the user's own runs as it was saved with its run.

    Args:
        named: runs' folders, names, URIs or MLflow ids, at least two.
        storage: the folder that runs are kept in, or its URI.
        display: what is told meanwhile.

    Raises:
        ConfigError: one is not there or cannot be read, fewer than two were named, or a run stands
            against a search.
        StorageError: the store does not answer.
    """
    with ExitStack() as opened:
        sides = find_sides(named, storage, opened)
        differences = what_differs(sides)
        display.stage("predicting the test rows again")
        # Seconds, that a mistyped name need not wait for.
        from distrain.compare.measured import measure

        measured = measure(sides)
        yield CompareResult(
            tuple(sides),
            differences,
            outcomes(sides, measured, differences.follows),
            (*differences.notes, *measured.notes),
        )
