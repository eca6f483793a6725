"""The short tables that commands end with."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from distrain.report.display import duration_text

if TYPE_CHECKING:
    from distrain.config.schema import Entry
    from distrain.results import Estimate, ModelVersion, PrepareResult, TrainResult
    from distrain.track.runs import RunSummary


def train_table(result: "TrainResult") -> Table:
    """Return what was trained, how good, how fast, where it lies, and how to open the UI."""
    table = _facts()
    _row(table, "run", result.summary)
    for split in ("train", "validation", "test"):
        _row(table, split, metrics_text(result.metrics, split))
    for goal in result.goals:
        reached = "not computed" if goal.value is None else f"{goal.value:.6g}"
        mark = "[green]met[/]" if goal.is_met else "[red]not met[/]"
        table.add_row("goal", f"{escape(goal.metric)} {goal.goal}: {reached}, {mark}")
    _row(table, "speed", speed_text(result))
    _row(table, "weights", f"sha256 {result.weights_sha256}" if result.weights_sha256 else "")
    _row(table, "model", version_text(result.model) if result.model else "")
    _row(table, "folder", str(result.run_dir))
    if result.tracking == "pending":
        _row(table, "tracking", "pending: kept in the journal, shipped by the next run")
    _row(table, "look", result.look)
    return table


def version_text(model: "ModelVersion") -> str:
    """Return a registered version in words: `digits version 3, models:/digits@champion`."""
    return f"{model.name} version {model.version}, {model.uri}"


def speed_text(result: "TrainResult") -> str:
    """Return rows per second and workers, e.g. `41,200 rows/s on 2 workers`."""
    workers = f"{result.num_workers} worker{'s' if result.num_workers != 1 else ''}"
    if result.samples_per_second is None:
        return f"{workers} (too few steps to measure)"
    return f"{result.samples_per_second:,.0f} rows/s on {workers}"


def prepare_table(result: "PrepareResult") -> Table:
    """Return rows, findings, and the keys and shapes that a model will get."""
    table = _facts()
    rows = ", ".join(f"{split} {count:,}" for split, count in result.rows.items() if count)
    _row(table, "rows", rows + ("  (prepared before)" if result.reused else ""))
    for key, column in result.columns.items():
        shape = ", ".join(["rows", *(str(size) for size in column["shape"])])
        _row(table, f"batch[{key!r}]", f"{column['dtype']} ({shape})")
    _row(table, "outputs", result.outputs)
    for finding in result.findings:
        _row(table, "finding", str(finding["message"]))
    _row(table, "digest", result.dataset_digest)
    _row(table, "folder", str(result.path))
    return table


def estimate_table(estimate: "Estimate") -> Table:
    """Return what a run would do, for `--dry-run`."""
    table = _facts()
    _row(table, "data", estimate.data)
    _row(table, "rows", ", ".join(f"{name} {rows:,}" for name, rows in estimate.rows.items()))
    _row(table, "steps", f"{estimate.steps:,} ({estimate.steps_per_epoch:,} per epoch)")
    if estimate.num_parameters is not None:
        _row(table, "model", f"{estimate.num_parameters:,} parameters")
    _row(table, "placement", estimate.placement)
    if estimate.worker_bytes is not None:
        memory = f"about {estimate.worker_bytes / 2**20:,.1f} MiB of state per worker"
        _row(table, "memory", f"{memory}, beside torch itself and a batch's activations")
    if estimate.train_s is None:
        _row(table, "time", "unknown until the data is prepared: distrain prepare")
    else:
        _row(table, "time", f"about {duration_text(estimate.train_s)} of training steps")
    _row(table, "tracking", estimate.tracking)
    return table


def runs_table(runs: "Sequence[RunSummary]", storage: Path) -> Table | str:
    """Return one line a run, or where none were found."""
    if not runs:
        return f"no runs below {storage}"
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("run", "status", "started", "metrics"):
        table.add_column(title, overflow="fold")
    for run in runs:
        shown = metrics_text(run.metrics, "test") or metrics_text(run.metrics, "validation")
        table.add_row(f"{run.name}/{run.run}", run.status, run.started, escape(shown))
    return table


def entries_table(entries: "Iterable[Entry]") -> Table:
    """Return names with what they are and their arguments."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("name", "what it is", "arguments [default]"):
        table.add_column(title, overflow="fold")
    for entry in entries:
        arguments = ", ".join(argument.shown for argument in entry.arguments)
        table.add_row(entry.name, escape(entry.summary), escape(arguments))
    return table


def metrics_text(metrics: Mapping[str, Any], split: str) -> str:
    """Return a split's metrics on one line: `accuracy 0.989  loss 0.041`."""
    found = [
        f"{name.removeprefix(split + '/')} {value:.5g}"
        for name, value in metrics.items()
        if name.startswith(split + "/") and value is not None
    ]
    return "  ".join(found)


def _facts() -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _row(table: Table, name: str, text: str) -> None:
    if text:
        table.add_row(name, escape(text))
