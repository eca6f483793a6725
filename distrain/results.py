"""What commands return: small frozen values with the fields that `--json` promises."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, final

from distrain.errors import EXIT_INTERRUPTED, DistrainError, error_from_json
from distrain.evaluate.goals import GoalOutcome
from distrain.redaction import without_password
from distrain.track.model_versions import RegisteredVersion

EXIT_FAILED = 1
EXIT_GOALS_UNMET = 3
RunStatus = Literal["finished", "stopped_early", "failed", "interrupted"]


def finding_text(finding: Mapping[str, Any]) -> str:
    """Return a finding, as it stands in a manifest, in one line for a person."""
    column, message = finding["column"], str(finding["message"])
    return message if column is None else f"column {column!r}: {message}"


@final
@dataclass(frozen=True)
class TrainResult:
    """A training run that was started; design 3.3 names the fields.

    Attributes:
        summary: what was trained, in one line.
        look: the command that opens the UI.
    """

    status: RunStatus
    run_id: str | None
    run_dir: Path
    epoch: int
    step: int
    metrics: Mapping[str, float]
    weights_sha256: str | None
    samples_per_second: float | None
    num_workers: int
    dataset_digest: str
    model: RegisteredVersion | None
    goals: tuple[GoalOutcome, ...]
    resumed_from_step: int | None
    tracking: Literal["complete", "pending"]
    error: DistrainError | None = None
    summary: str = ""
    look: str = ""

    @property
    def is_done(self) -> bool:
        """Return whether the run was trained to its end, recorded and registered."""
        is_recorded = self.tracking == "complete" and self.model is not None
        return self.status in ("finished", "stopped_early") and is_recorded

    @property
    def exit_code(self) -> int:
        """Return the command's exit code.

        Whatever kind of error it was, training had begun: 2 would say that nothing was started.
        """
        if self.error is not None:
            return EXIT_FAILED
        if self.status == "interrupted":
            return EXIT_INTERRUPTED
        return 0 if all(goal.is_met for goal in self.goals) else EXIT_GOALS_UNMET

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json` and of `result.json`."""
        return {
            "status": self.status,
            "run_id": self.run_id,
            "run_dir": str(self.run_dir),
            "epoch": self.epoch,
            "step": self.step,
            "metrics": dict(self.metrics),
            "weights_sha256": self.weights_sha256,
            "samples_per_second": self.samples_per_second,
            "num_workers": self.num_workers,
            "dataset_digest": self.dataset_digest,
            "model": asdict(self.model) if self.model else None,
            "goals": {goal.metric: goal.to_json() for goal in self.goals},
            "resumed_from_step": self.resumed_from_step,
            "tracking": self.tracking,
            "error": self.error.to_json() if self.error else None,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "TrainResult":
        """Return the result that `to_json` gave; null stands for a metric that is not a number."""
        goals, model, error = fields["goals"], fields["model"], fields["error"]
        own = {
            "run_dir": Path(fields["run_dir"]),
            "metrics": {
                name: math.nan if value is None else value
                for name, value in fields["metrics"].items()
            },
            "model": RegisteredVersion(**model) if model else None,
            "goals": tuple(GoalOutcome.from_json(name, goals[name]) for name in goals),
            "error": error_from_json(error) if error else None,
        }
        return cls(**{**fields, **own})


@final
@dataclass(frozen=True)
class PrepareResult:
    """A prepared dataset.

    Attributes:
        dataset_digest: SHA-256 over sources, recipe and format.
        rows: split to number of rows.
        findings: what was found in the data, each with `kind`, `column`, `message`, `count`.
        reused: whether it was there already.
        path: its folder, or the URI of that.
        columns: batch key to `dtype` and `shape` of a row.
        outputs: what a model has to return, in words.
    """

    dataset_digest: str
    rows: Mapping[str, int]
    findings: tuple[Mapping[str, Any], ...]
    reused: bool
    path: Path | str
    columns: Mapping[str, Any] = field(default_factory=dict)
    outputs: str = ""

    @property
    def finding_texts(self) -> list[str]:
        """Return the findings, each in one line for a person."""
        return [finding_text(finding) for finding in self.findings]

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "dataset_digest": self.dataset_digest,
            "rows": dict(self.rows),
            "findings": [dict(finding) for finding in self.findings],
            "reused": self.reused,
            "path": without_password(str(self.path)),
            "columns": dict(self.columns),
            "outputs": self.outputs,
        }


@final
@dataclass(frozen=True)
class Estimate:
    """What a run would do, without starting it.

    Attributes:
        data: what it would be trained on, in words.
        rows: split to number of rows; estimates unless the data is prepared.
        steps: optimizer steps.
        steps_per_epoch: of an epoch.
        num_parameters: of the model; None where the data must be prepared to tell.
        placement: workers and their resources, in words.
        worker_bytes: memory of a worker beside what torch itself takes; None likewise.
        train_s: seconds of training steps on this machine; None likewise.
        tracking: where it would be recorded.
    """

    data: str
    rows: Mapping[str, int]
    steps: int
    steps_per_epoch: int
    num_parameters: int | None
    placement: str
    worker_bytes: int | None
    train_s: float | None
    tracking: str

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {"status": "estimated", **asdict(self)}
