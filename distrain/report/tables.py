"""The short tables that commands end with."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, final

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from distrain.durations import duration_text
from distrain.redaction import without_password
from distrain.report.profile_text import profile_lines

if TYPE_CHECKING:
    from distrain.assess import EvaluateResult
    from distrain.config.schema import Entry
    from distrain.evaluate.goals import GoalOutcome
    from distrain.exporting import ExportResult
    from distrain.first_configuration import InitResult
    from distrain.hindsight import ReplayResult
    from distrain.promotion import PromoteResult
    from distrain.report.asked import ReportResult
    from distrain.reproduction import ReproduceResult
    from distrain.results import (
        PrepareResult,
        TrainResult,
        TuneResult,
    )
    from distrain.track.model_versions import RegisteredVersion
    from distrain.track.synced import SyncedRun


@final
class Facts:
    """Names and texts, one a line; drawn without padding, so that lines can be cut and searched."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, Text]] = []

    def add(self, name: str, text: "str | Text") -> None:
        """Add a line; an empty text adds none."""
        if text:
            self._rows.append((name, text if isinstance(text, Text) else Text(text)))

    def __rich__(self) -> Text:
        """Return the lines, their texts aligned."""
        width = max((len(name) for name, _ in self._rows), default=0)
        lines = [
            Text.assemble((name.ljust(width), "bold"), "  ", text) for name, text in self._rows
        ]
        return Text("\n").join(lines)


_KEYS_SHOWN = 12


def result_table(result: "TrainResult | TuneResult") -> Facts:
    """Return what was trained or searched, what came of it, where it lies, how to open the UI."""
    from distrain.results import TuneResult  # whoever has a result has loaded it

    facts = Facts()
    if isinstance(result, TuneResult):
        _add_search(facts, result)
    else:
        _add_run(facts, result)
    facts.add("weights", f"sha256 {result.weights_sha256}" if result.weights_sha256 else "")
    facts.add("model", version_text(result.model) if result.model else "")
    folder = result.folder
    facts.add("folder", folder)
    if result.tracking == "pending":
        facts.add("tracking", f"pending: the record is kept in {folder}/journal")
    facts.add("look", result.look)
    facts.add("page", result.page)
    return facts


def _add_run(facts: Facts, result: "TrainResult") -> None:
    """Add what was trained, how good it is, and how fast."""
    facts.add("run", result.summary)
    if result.status != "finished":
        facts.add("status", f"{result.status.replace('_', ' ')} at step {result.step:,}")
    for split in ("train", "validation", "test"):
        facts.add(split, metrics_text(result.metrics, split))
    for goal in result.goals:
        facts.add("goal", goal_text(goal))
    facts.add("speed", speed_text(result) if result.step else "")


def _add_search(facts: Facts, result: "TuneResult") -> None:
    """Add what was searched, what won, and what became of the rest."""
    from distrain.config.course import changes_of, current_values
    from distrain.tune.audit import AuditResult  # small, and of a search alone
    from distrain.tune.confirm import ConfirmResult

    ended = f"{result.num_trials:,} trials, {result.num_stopped_early:,} stopped early"
    failed = f", {result.num_failed:,} failed" if result.num_failed else ""
    spent = f"{result.epochs_spent:,} epochs in {duration_text(result.wall_s)}"
    facts.add("search", f"{ended}{failed}; {spent}")
    for message, count in result.failures:
        facts.add("failed", f"{count:,} x {message}")
    if result.best is not None:
        config = result.best["config"]
        values = ", ".join(f"{name} = {value}" for name, value in current_values(config).items())
        changed = f", after {num:,} changes" if (num := len(changes_of(config))) else ""
        facts.add("best", f"trial {result.best['trial']}: {values}{changed}")
        if "mean" in result.best:
            num = result.best["num_seeds"]
            facts.add("mean", f"{result.best['mean']:.6g} over {num} seed{'s' if num != 1 else ''}")
        for split in ("train", "validation", "test"):
            facts.add(split, metrics_text(result.best["metrics"], split))
    for goal in result.goals:
        facts.add("goal", goal_text(goal))
    facts.add("confirm", ConfirmResult.of_json(result.confirm).text if result.confirm else "")
    facts.add("audit", AuditResult.of_json(result.audit).text if result.audit else "")
    facts.add("winner", result.summary)


def replay_table(result: "ReplayResult") -> Facts:
    """Return what a search did beside what another scheduler would have done."""
    facts = Facts()
    for name, played in (("recorded", result.recorded), ("replayed", result.played)):
        best = played.best and f"best {result.metric} {played.best[1]:.6g} (trial {played.best[0]})"
        told = [
            f"{played.epochs:,} epochs",
            f"{played.num_stopped:,} stopped",
            best or "no trial comes to its end",
        ]
        if played.num_unknown:
            told.append(f"{played.num_unknown:,} whose curve was not recorded so far")
        facts.add(name, ", ".join(told))
    facts.add("saved", f"{result.recorded.epochs - result.played.epochs:,} epochs")
    return facts


def goal_text(goal: "GoalOutcome") -> Text:
    """Return a stated goal, what was reached, and whether that is enough."""
    reached = "not computed" if goal.value is None else f"{goal.value:.6g}"
    mark = ("met", "green") if goal.is_met else ("not met", "red")
    return Text.assemble(f"{goal.metric} {goal.goal}: {reached}, ", mark)


def evaluate_table(result: "EvaluateResult") -> Facts:
    """Return what a model was measured to be, one metric a line."""
    facts = Facts()
    facts.add("rows", f"{result.num_rows:,}")
    for name, value in result.metrics.items():
        facts.add(name, f"{value:.6g}")
    return facts


def export_table(result: "ExportResult") -> Facts:
    """Return what was written, and how near it comes to the model."""
    facts = Facts()
    facts.add("model", str(result.out))
    facts.add("described", str(result.description))
    near = f"differs by at most {result.difference:.3g} on {result.num_rows} rows"
    facts.add("compared", f"{near}, loaded again")
    return facts


def init_table(result: "InitResult") -> Facts:
    """Return what was written, and what to do with it."""
    facts = Facts()
    facts.add("written", str(result.out))
    facts.add("predicts", f"{result.target} ({result.task})")
    facts.add("look", f"distrain prepare {result.out}")
    facts.add("train", f"distrain train {result.out}")
    return facts


def promote_table(result: "PromoteResult", alias: str) -> Facts:
    """Return what became of an alias, and why."""
    facts = Facts()
    before = f"version {result.from_version}" if result.from_version else "no version"
    facts.add(alias, f"{result.status}; {before} had it")
    facts.add("model", version_text(result.model) if result.model else "")
    for reason in result.reasons:
        facts.add("why", reason)
    return facts


def reproduce_table(result: "ReproduceResult") -> Facts:
    """Return whether a run came out the same when it was made again, and what differs."""
    facts = Facts()
    steps = f"{result.steps_compared:,} step{'s' if result.steps_compared != 1 else ''}"
    verdict = {
        "equal": f"equal: {steps} compared, and the weights, to the last bit",
        "different": "different",
        "not_promised": f"not promised ({result.why}); {steps} compared",
    }
    facts.add(result.run, verdict[result.status])
    first = result.first if result.status == "different" else None
    for difference in result.differences:
        facts.add("differs first" if difference is first else "differs", difference.text)
    facts.add("recorded", f"sha256 {result.recorded_sha256}")
    facts.add("rebuilt", f"sha256 {result.rebuilt_sha256}" if result.rebuilt_sha256 else "")
    facts.add("folder", result.folder or "")
    return facts


def report_table(result: "ReportResult") -> Facts:
    """Return which report was written, and where it lies."""
    facts = Facts()
    facts.add(result.run, result.status.replace("_", " "))
    facts.add("report", str(result.out))
    return facts


def version_text(model: "RegisteredVersion") -> str:
    """Return a registered version in words: `digits version 3, models:/digits@champion`."""
    return f"{model.name} version {model.version}, {model.uri}"


def speed_text(result: "TrainResult") -> str:
    """Return rows per second and workers, e.g. `41,200 rows/s on 2 workers`."""
    workers = f"{result.num_workers} worker{'s' if result.num_workers != 1 else ''}"
    if result.samples_per_second is None:
        return f"{workers} (too few steps to measure)"
    return f"{result.samples_per_second:,.0f} rows/s on {workers}"


def prepare_table(result: "PrepareResult") -> Facts:
    """Return rows, columns, findings, and the keys and shapes that a model will get."""
    facts = Facts()
    rows = ", ".join(f"{split} {count:,}" for split, count in result.rows.items() if count)
    facts.add("rows", rows + ("  (prepared before)" if result.reused else ""))
    for name, text in profile_lines(result.profile):
        facts.add(f"column {name!r}", text)
    for key, column in result.columns.items():
        shape = ", ".join(["rows", *(str(size) for size in column["shape"])])
        facts.add(f"batch[{key!r}]", f"{column['dtype']} ({shape})")
    facts.add("outputs", result.outputs)
    named = [
        f"{name} (rows, {', '.join(map(str, key['shape']))})" for name, key in result.keys.items()
    ]
    more = f" and {len(named) - _KEYS_SHOWN} more" if len(named) > _KEYS_SHOWN else ""
    facts.add("by name", ", ".join(named[:_KEYS_SHOWN]) + more)
    for text in result.finding_texts:
        facts.add("finding", text)
    facts.add("digest", result.dataset_digest)
    facts.add("folder", without_password(str(result.path)))
    return facts


def synced_line(run: "SyncedRun") -> str:
    """Return what became of one run's journal: `digits/20261121T0729-bcf1  shipped`."""
    head = f"{run.run_dir.parent.name}/{run.run_dir.name}"
    damages = "".join(f"; {damage}" for damage in run.damages)
    if run.is_deleted:
        return (
            f"{head}  deleted at MLflow, and left so; "
            f"`distrain sync {head}` restores it and ships what is left"
        )
    if run.outcome == "nothing":
        return f"{head}  nothing to ship{damages}"
    closed = ", closed: its driver is dead" if run.was_closed else ""
    if run.outcome == "pending":
        return f"{head}  still pending{closed}: {run.error}"
    model = f", {version_text(run.model)}" if run.model else ""
    return f"{head}  shipped{closed}{model}{damages}"


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
