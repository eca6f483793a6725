"""The pass table that `distrain chaos` ends with."""

from collections.abc import Iterator
from textwrap import wrap
from typing import Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from distrain.jobs.chaos.outcome import ChaosResult, Survived

_WIDTH: Final = 100
_COLUMNS: Final = (
    *(("fault", "left"), ("at step", "right"), ("recovered in", "right"), ("steps lost", "right")),
    *(("workers", "right"), ("weights", "left"), ("rows again", "right"), ("missing", "right")),
    *(("record", "left"), ("", "left")),
)


def chaos_table(result: ChaosResult) -> Group:
    """Return how the job was made small, the undisturbed run, and a line for each fault."""
    table = Table(box=None, pad_edge=False)
    for name, side in _COLUMNS:
        table.add_column(name, justify="right" if side == "right" else "left")
    for run in result.survived:
        for cells in _lines(run):
            table.add_row(*cells)
    told = result.undisturbed
    head = [
        *_fact("job", result.name),
        *_fact("made small", " ".join(result.overrides)),
        *_fact(
            "undisturbed",
            f"{told.steps:,} steps in {told.wall_s:.0f} s with the command's start and end, "
            f"{told.num_rows:,} rows by the ledger ({told.rows_repeated:,} of them again), "
            f"{told.num_points:,} points recorded, sha256 {told.weights_sha256}",
        ),
    ]
    if not result.has_promised_bits:
        text = (
            "reduction: fast and strategy: fsdp promise no bits: rows, the record's names and "
            "steps, and completion are compared; weights and values are not"
        )
        head += _fact("note", text)
    return Group(*map(Text, head), Text(""), table, Text(""), *map(Text, _ends(result)))


def _fact(name: str, text: str) -> list[str]:
    """Return a name and its text, in lines of a width that can be read."""
    lines = wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return [f"{name if number == 0 else '':11}  {line}" for number, line in enumerate(lines)]


def _lines(run: Survived) -> Iterator[list[str]]:
    """Give the cells of a line for each fault of a run; what holds for the run is in the last."""
    if run.skipped:
        yield [run.fault, *[""] * (len(_COLUMNS) - 2), run.verdict]
        return
    for injected in run.injected:
        before, after = injected.num_workers
        own = [
            injected.name,
            f"{injected.step:,}",
            f"{injected.recovery_s:.1f} s",
            f"{injected.steps_lost:,}",
            f"{before}" if before == after else f"{before} to {after}",
        ]
        is_last = injected is run.injected[-1]
        yield own + (_of_run(run) if is_last else [""] * 5)
    if not run.injected:
        yield [run.fault, *[""] * 4, *_of_run(run)]


def _of_run(run: Survived) -> list[str]:
    if run.error:
        return ["", "", "", "", run.verdict]
    weights = {True: "same", False: "OTHER", None: "not compared"}[run.is_same]
    record = "whole" if run.is_recorded else "NOT WHOLE"
    return [weights, f"{run.rows_repeated:,}", f"{run.rows_missing:,}", record, run.verdict]


def _ends(result: ChaosResult) -> Iterator[str]:
    """Give why runs failed or were skipped, and how many faults were survived."""
    for run in result.survived:
        if run.error:
            yield f"{run.fault} failed: {run.error}"
        if run.skipped:
            yield f"{run.fault} skipped: {run.skipped}"
    passed = sum(run.has_passed for run in result.tried)
    yield f"{passed} of {len(result.tried)} kinds of faults survived (seed {result.seed})"
