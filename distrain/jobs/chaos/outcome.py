"""What came of a job under faults, beside the same job undisturbed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

from distrain.jobs.chaos.undertaking import Injected


@final
@dataclass(frozen=True)
class Undisturbed:
    """The run that nothing was done to.

    Attributes:
        weights_sha256: of its final weights.
        steps: optimizer steps.
        num_rows: rows that it was trained on, each as often as it was.
        rows_repeated: of those, rows that an epoch had more than once.
        num_points: metrics' points in its record.
        wall_s: seconds from the command to its end.
    """

    weights_sha256: str
    steps: int
    num_rows: int
    rows_repeated: int
    num_points: int
    wall_s: float


@final
@dataclass(frozen=True)
class Survived:
    """A run under a fault, or under several of a kind.

    Attributes:
        fault: the name that the command line has for it.
        injected: what was done, and what it cost.
        is_same: whether it has the undisturbed run's weights; None: its bits are not promised.
        rows_repeated: rows that its ledger has too often.
        rows_missing: rows of the undisturbed run that its ledger has not.
        is_recorded: whether its record is whole, and the same where the bits are.
        error: why it did not come to its end; empty: it did.
        skipped: why it was not tried; empty: it was.
    """

    fault: str
    injected: Sequence[Injected] = ()
    is_same: bool | None = None
    rows_repeated: int = 0
    rows_missing: int = 0
    is_recorded: bool = False
    error: str = ""
    skipped: str = ""

    @property
    def has_passed(self) -> bool:
        """Return whether it came to the same end; not, where it was skipped."""
        is_told = not self.error and not self.skipped
        has_rows = not self.rows_repeated and not self.rows_missing
        return is_told and has_rows and self.is_recorded and self.is_same is not False

    @property
    def verdict(self) -> str:
        """Return in a word whether it has passed."""
        if self.skipped:
            return "skipped"
        return "passed" if self.has_passed else "FAILED"


@final
@dataclass(frozen=True)
class ChaosResult:
    """What `distrain chaos` found.

    Attributes:
        name: the job's.
        overrides: by which it was made small.
        has_promised_bits: whether the weights are compared.
        seed: of where and when the faults came.
        undisturbed: the run that nothing was done to.
        survived: a run for each kind of fault.
    """

    name: str
    overrides: Sequence[str]
    has_promised_bits: bool
    seed: int
    undisturbed: Undisturbed
    survived: Sequence[Survived]

    @property
    def tried(self) -> list[Survived]:
        """Return those that were tried."""
        return [run for run in self.survived if not run.skipped]

    @property
    def exit_code(self) -> int:
        """Return 0 where every fault that was tried was survived, else 1."""
        is_sound = not self.undisturbed.rows_repeated
        return 0 if is_sound and all(run.has_passed for run in self.tried) else 1

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "name": self.name,
            "passed": self.exit_code == 0,
            "overrides": list(self.overrides),
            "has_promised_bits": self.has_promised_bits,
            "seed": self.seed,
            "undisturbed": asdict(self.undisturbed),
            "faults": [{**asdict(run), "passed": run.has_passed} for run in self.survived],
        }
