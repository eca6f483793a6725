"""Curves of training and validation, with the best step and what happened on the way."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from distrain.report.page.frame import Axis
from distrain.report.page.lines import Dot, Lines, Mark, Point, Series, lines
from distrain.report.page.markup import Markup, joined
from distrain.report.page.parts import by_room, figures, note
from distrain.report.page.room import HALF
from distrain.report.page.shell import Section
from distrain.report.page.words import number_text
from distrain.report.run.view import RunView

LOSSES: Final = ("train/loss", "validation/loss")
MAX_FIGURES: Final = 8
STEPS: Final = Axis("step", from_zero=True)
_MANY_POINTS: Final = 150
_WIDE_RANGE: Final = 30.0


def curves_section(run: RunView) -> Section | None:
    """Return what was measured step by step; None where nothing was."""
    story = run.story
    drawn = [_losses(run)] if any(story.points(name) for name in LOSSES) else []
    others = [name for name in _other_names(run) if _tells(run, name)]
    drawn.append(figures(*(_single(run, name) for name in others[:MAX_FIGURES])))
    if not others and len(drawn) == 1:
        return None
    if len(others) > MAX_FIGURES:
        drawn.append(note(f"Not drawn: {', '.join(others[MAX_FIGURES:])}."))
    if story.troubles:
        drawn.append(note(_trouble_text(run), "warn"))
    return Section("curves", "Curves", joined(drawn))


def _other_names(run: RunView) -> list[str]:
    names = run.story.metrics
    measured = [name for name in names if name.startswith("validation/") and name not in LOSSES]
    learnt = [name for name in names if name.startswith("train/") and name not in LOSSES]
    return [*measured, *learnt]


def _tells(run: RunView, name: str) -> bool:
    """Return whether a curve says more than a number; a rate that stays as it is does not."""
    values = {value for _, value in run.story.points(name)}
    num_points = len(run.story.points(name))
    return num_points > 1 and (name.startswith("validation/") or len(values) > 1)


def _losses(run: RunView) -> Markup:
    train, validation = (run.story.points(name) for name in LOSSES)
    series = []
    if train:
        is_dense = len(train) > _MANY_POINTS and bool(validation)
        series.append(Series(LOSSES[0], train, "s0", "thin" if is_dense else "line"))
    if validation:
        series.append(Series(LOSSES[1], validation, "s1", "bold"))
    values = [value for _, value in [*train, *validation]]
    is_log = min(values) > 0 and max(values) > _WIDE_RANGE * min(values)
    drawn = Lines(
        "Loss",
        series,
        x=STEPS,
        y=Axis("loss, logarithmic" if is_log else "loss", is_log=is_log),
        marks=[*_marks(run)],
        dots=[*_best(run, LOSSES)],
    )
    return by_room(lines(drawn), lines(replace(drawn, size=HALF)))


def _single(run: RunView, name: str) -> Markup:
    points = run.story.points(name)
    tone = "s1" if name.startswith("validation/") else "s0"
    test = run.metrics.get(f"test/{name.partition('/')[2]}")
    last = number_text(points[-1][1])
    tested = f", on the test split {number_text(test)}" if test is not None else ""
    return lines(
        Lines(
            name,
            [Series(name, points, tone)],
            x=STEPS,
            dots=[*_best(run, (name,)), *_kept(run, name, points)],
            lead=f"last {last}{tested}",
            legend=(),
            size=HALF,
        )
    )


def _best(run: RunView, names: Sequence[str]) -> Iterator[Dot]:
    """Give the best value, where it is one of these metrics that says what is best."""
    best = run.selection
    if best.metric in names and best.best_step is not None and best.best_value is not None:
        label = f"best: {number_text(best.best_value)} at step {best.best_step:,}"
        yield Dot(best.best_step, best.best_value, label, "gold")


def _kept(run: RunView, name: str, points: Sequence[Point]) -> Iterator[Dot]:
    """Give what another metric was at the step whose model was the best."""
    best = run.selection
    value = dict(points).get(float(best.best_step)) if best.best_step is not None else None
    is_measured = name.startswith("validation/") and name != best.metric
    if is_measured and value is not None and best.best_step is not None:
        label = f"{number_text(value)} at step {best.best_step:,}, the best by {best.metric}"
        yield Dot(best.best_step, value, label, "gold")


def _marks(run: RunView) -> Iterator[Mark]:
    """Give where attempts went on, and where the run was stopped."""
    best = run.selection
    if best.best_step is not None:
        yield Mark(best.best_step, f"best, step {best.best_step:,}", "gold")
    attempts = run.story.attempts
    for before, attempt in itertools.pairwise(attempts):
        if attempt.began_ms is None:
            continue
        label = f"went on from {attempt.from_step:,}"
        if attempt.num_workers != before.num_workers:
            label = f"{before.num_workers} to {attempt.num_workers} workers"
        yield Mark(attempt.from_step, label, "accent")
    ends = {"stopped_early": "stopped early", "interrupted": "interrupted", "failed": "failed"}
    if run.state in ends and run.result is not None:
        tone = "bad" if run.state == "failed" else "warn"
        yield Mark(run.result.step, ends[run.state], tone)


def _trouble_text(run: RunView) -> str:
    steps = [trouble.get("step") for trouble in run.story.troubles]
    shown = ", ".join(f"{step:,}" for step in steps[:8] if isinstance(step, int))
    more = f" and {len(steps) - 8:,} more" if len(steps) > 8 else ""
    count = "a step was" if len(steps) == 1 else f"{len(steps):,} steps were"
    return f"The loss of {count} out of the ordinary: {shown}{more}."
