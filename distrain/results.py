"""What commands return: small frozen values with the fields that `--json` promises."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, final

from distrain.errors import (
    EXIT_FAILED,
    EXIT_GOALS_UNMET,
    EXIT_INTERRUPTED,
    DistrainError,
    error_from_json,
)
from distrain.evaluate.goals import GoalOutcome
from distrain.object_store.place import remote_text
from distrain.redaction import without_password
from distrain.track.model_versions import RegisteredVersion

# So many columns with one kind of finding are told one by one.
_FEW_ALIKE: Final = 3

RunStatus = Literal["finished", "stopped_early", "failed", "interrupted"]


def finding_text(finding: Mapping[str, Any]) -> str:
    """Return a finding, as it stands in a manifest, in one line for a person."""
    column, message = finding["column"], str(finding["message"])
    return message if column is None else f"column {column!r}: {message}"


def findings_in_brief(findings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each finding, of one kind in many columns a line for that of most rows."""
    by_kind: dict[str, list[Mapping[str, Any]]] = {}
    for finding in findings:
        by_kind.setdefault(finding["kind"], []).append(finding)
    lines: list[str] = []
    for alike in by_kind.values():
        if len(alike) <= _FEW_ALIKE:
            lines += map(finding_text, alike)
            continue
        most = max(alike, key=lambda finding: int(finding["count"]))
        others = [f"{one['column']!r}" for one in alike if one is not most]
        more = f" and {len(others) - _FEW_ALIKE} more" if len(others) > _FEW_ALIKE else ""
        named = ", ".join(others[:_FEW_ALIKE])
        lines.append(f"{finding_text(most)}; the like in {named}{more}")
    return lines


def _exit_code(result: "TrainResult | TuneResult") -> int:
    """Return the exit code of what was begun.

    Whatever kind of error it was, training had begun: 2 would say that nothing was started.
    """
    if result.error is not None:
        return EXIT_FAILED
    if result.status == "interrupted":
        return EXIT_INTERRUPTED
    return 0 if all(goal.is_met for goal in result.goals) else EXIT_GOALS_UNMET


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _read(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a result's JSON, those that are values of our own made such again."""
    goals, model, error = fields["goals"], fields["model"], fields["error"]
    return {
        **fields,
        "run_dir": Path(fields["run_dir"]),
        "model": RegisteredVersion(**model) if model else None,
        "goals": tuple(GoalOutcome.from_json(name, goals[name]) for name in goals),
        "error": error_from_json(error) if error else None,
    }


@final
@dataclass(frozen=True)
class TrainResult:
    """A training run that was started; design 3.3 names the fields.

    Attributes:
        uri: where an object store keeps it; None: its folder is where it is kept.
        summary: what was trained, in one line.
        look: the command that opens the UI.
        page: the address of the run's page there; empty: it is not known.
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
    uri: str | None = None
    page: str = ""

    @property
    def folder(self) -> str:
        """Return where the run is found again: its folder, or the URI of that."""
        return self.uri or str(self.run_dir)

    @property
    def is_done(self) -> bool:
        """Return whether the run was trained to its end, recorded and registered."""
        is_recorded = self.tracking == "complete" and self.model is not None
        return self.status in ("finished", "stopped_early") and is_recorded

    @property
    def exit_code(self) -> int:
        """Return the command's exit code."""
        return _exit_code(self)

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json` and of `result.json`."""
        return {
            "status": self.status,
            "run_id": self.run_id,
            "run_dir": self.folder,
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
        metrics = {name: _number(value) for name, value in fields["metrics"].items()}
        uri = remote_text(fields["run_dir"])
        return cls(**{**_read(fields), "metrics": metrics}, uri=uri)


@final
@dataclass(frozen=True)
class TuneResult:
    """A search that was started; design 3.3 names the fields.

    Attributes:
        best: `trial`, `run_id`, `config` (its values by dotted path) and `metrics`, with several
            seeds also the `mean` of those that came to a model, and as `num_seeds` how many did;
            None: none came to a model.
        uri: where an object store keeps it; None: its folder is where it is kept.
        goals: of the winner.
        tracking: whether all of it has reached MLflow.
        failures: what trials failed of, with how many of them, the most frequent first.
        summary: what won, in one line.
        look: the command that opens the UI.
        page: the address of the search's page there; empty: it is not known.
        confirm: the winner's configuration with other seeds: see `tune.confirm`; None: not asked.
        audit: how often the scheduler was wrong: see `tune.audit`; None: not asked.
    """

    status: RunStatus
    run_id: str | None
    run_dir: Path
    num_trials: int
    num_stopped_early: int
    num_failed: int
    best: Mapping[str, Any] | None
    epochs_spent: int
    wall_s: float
    weights_sha256: str | None
    model: RegisteredVersion | None
    goals: tuple[GoalOutcome, ...] = ()
    tracking: Literal["complete", "pending"] = "complete"
    error: DistrainError | None = None
    failures: tuple[tuple[str, int], ...] = ()
    summary: str = ""
    look: str = ""
    page: str = ""
    confirm: Mapping[str, Any] | None = None
    audit: Mapping[str, Any] | None = None
    uri: str | None = None

    @property
    def folder(self) -> str:
        """Return where the search is found again: its folder, or the URI of that."""
        return self.uri or str(self.run_dir)

    @property
    def is_done(self) -> bool:
        """Return whether the search came to its end, recorded, and its winner was registered."""
        return self.status == "finished" and self.tracking == "complete" and self.model is not None

    @property
    def exit_code(self) -> int:
        """Return the command's exit code."""
        return _exit_code(self)

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json` and of `result.json`."""
        return {
            "status": self.status,
            "run_id": self.run_id,
            "run_dir": self.folder,
            "num_trials": self.num_trials,
            "num_stopped_early": self.num_stopped_early,
            "num_failed": self.num_failed,
            "best": dict(self.best) if self.best else None,
            "epochs_spent": self.epochs_spent,
            "wall_s": round(self.wall_s, 3),
            "weights_sha256": self.weights_sha256,
            "model": asdict(self.model) if self.model else None,
            "goals": {goal.metric: goal.to_json() for goal in self.goals},
            "confirm": dict(self.confirm) if self.confirm else None,
            "audit": dict(self.audit) if self.audit else None,
            "tracking": self.tracking,
            "error": self.error.to_json() if self.error else None,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "TuneResult":
        """Return the result that `to_json` gave; null stands for a value that is not a number."""
        best = dict(fields["best"] or {})
        if "mean" in best:
            best["mean"] = _number(best["mean"])
        metrics = {name: _number(value) for name, value in best.get("metrics", {}).items()}
        read = {**_read(fields), "best": {**best, "metrics": metrics} if best else None}
        return cls(**read, uri=remote_text(fields["run_dir"]))


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
        keys: by name, what a model's forward may ask for instead of `x`, as `columns` has it.
        profile: each column of the source: its kind, its type and statistics.
    """

    dataset_digest: str
    rows: Mapping[str, int]
    findings: tuple[Mapping[str, Any], ...]
    reused: bool
    path: Path | str
    columns: Mapping[str, Any] = field(default_factory=dict)
    outputs: str = ""
    keys: Mapping[str, Any] = field(default_factory=dict)
    profile: Mapping[str, Any] = field(default_factory=dict)

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
            "keys": dict(self.keys),
            "profile": dict(self.profile),
        }
