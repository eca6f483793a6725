"""A search told in words, for whoever opens its page at MLflow without having seen it before.

In: a search at its end, and what came after it. Out: Markdown: which trial won and by what margin
over the luck of seeds, what was stopped and failed, when and why, then what `run_story.py` tells.
"""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Final

from distrain.errors import DistrainError
from distrain.results import TrainResult
from distrain.run_facts import StartedRun
from distrain.run_folder import JOURNAL
from distrain.run_story import goals_text
from distrain.story import (
    assignment_text,
    changes_text,
    code_text,
    cost_text,
    data_text,
    limits_text,
    machine_text,
    maker_text,
    model_text,
    plain,
    row,
    version_uri,
)
from distrain.track import describe
from distrain.track.journal_reading import written_by
from distrain.track.record import RunFacts
from distrain.track.trials import SEARCH
from distrain.tune.confirm import ConfirmResult
from distrain.tune.course import Course
from distrain.tune.events import WRITER
from distrain.tune.search import Search
from distrain.tune.setting import setting_of
from distrain.tune.trials import Trial
from distrain.tune.verdicts import signed

_MAX_FAILURES: Final = 8
_MAX_RUNGS: Final = 8
_MAX_MESSAGE: Final = 200
_CLEAR: Final = 2.0
"""So many standard deviations: chance alone leads to more in one case of twenty."""


def search_story(
    run: StartedRun,
    facts: RunFacts,
    course: Course | None,
    winner: TrainResult | None,
    error: DistrainError | None,
) -> str:
    """Return the description of a search, whose links are filled in when it is sent.

    Args:
        run: the sweep.
        facts: what was recorded of it.
        course: its state, with what came after it; None: it did not come to one.
        winner: the result of the run that its best trial became; None: there is none.
        error: why it failed; None: it did not.
    """
    tags = facts.tags
    search = course.search if course is not None else None
    lines = [f"### {_headline(search, error)}", "", _LINKS, ""]
    if search is not None:
        lines += [*describe.fact_lines(_of_winner(search, course)), "", *_outcomes(run, search), ""]
        lines += _failures(search)
    if winner is not None:
        lines += ["", *describe.metric_table(winner.metrics), ""]
    told = {
        "Goals": goals_text(winner.goals) if winner else "",
        "Model": model_text(winner.model, _WHERE_JUDGED) if winner else "",
        "Winner's folder": winner.run_dir.name if winner else "",
        "Data": data_text(facts.manifest, run.prepared.dataset.digest),
        "What changed": changes_text(run.run_dir),
        "Code": code_text(tags),
        "Took": _took(run, search) if search else "",
        "Interrupted or resized": _interruptions(run),
        "Ran on": machine_text(tags),
        "Limits": limits_text(facts),
        "Made by": maker_text(tags),
    }
    lines += describe.fact_lines(told)
    if winner is not None and winner.model is not None:
        lines += ["", *describe.load_lines(version_uri(winner.model))]
    return "\n".join(lines)


def under_way_story(run: StartedRun, facts: RunFacts) -> str:
    """Return the description of a search that has begun.

    Args:
        run: the sweep.
        facts: what is recorded of it.
    """
    told = {
        "Data": data_text(facts.manifest, run.prepared.dataset.digest),
        "Code": code_text(facts.tags),
        "Ran on": machine_text(facts.tags),
        "Made by": maker_text(facts.tags),
    }
    return "\n".join(["### Searching", "", _VIEWS, "", *describe.fact_lines(told)])


_VIEWS: Final = "[Leaderboard](distrain:leaderboard) | [Charts](distrain:charts)"
_LINKS: Final = (
    f"{_VIEWS} | "
    "[every decision](distrain:artifacts/search/decisions.csv) | "
    "[every trial](distrain:artifacts/search/trials.csv)"
)
_WHERE_JUDGED: Final = "Its page has the comparison with what has the alias."


def _headline(search: Search | None, error: DistrainError | None) -> str:
    best = search.best if search is not None else None
    if search is None or best is None:
        return f"Failed: {plain(error.message)}" if error else "No trial came to its end"
    won = f"Trial {best.number} won: {search.plan.metric} {search.best_value:.6g}"
    return f"{won}. But then: {plain(error.message)}" if error else won


def _of_winner(search: Search, course: Course | None) -> dict[str, str]:
    best = search.best
    if best is None:
        return {}
    confirmed = course.confirmed if course is not None else None
    audited = course.audited if course is not None else None
    return {
        "Winner": f"[trial {best.number}](distrain:trial/{best.number}), "
        f"{assignment_text(best.assignment)}",
        "Margin": margin_text(search, confirmed),
        "With other seeds": confirmed.text if confirmed else "",
        "Audit of the stops": audited.text if audited else "",
    }


def margin_text(search: Search, confirmed: ConfirmResult | None) -> str:
    """Return how far the winner is ahead, and whether that is more than the luck of a seed.

    Args:
        search: at its end, with a winner.
        confirmed: what the winner came to with other seeds; None: it was not asked for.
    """
    plan, best = search.plan, search.best
    assert best is not None, "there is a winner"
    others = _other_values(search, best)
    if not others:
        return "no other trial came to its end"
    second, number = min(others, key=lambda one: (signed(one[0], plan.mode), one[1]))
    margin = abs(search.best_value - second)
    other = f"[trial {number}](distrain:trial/{number})"
    ahead = f"{margin:.4g} ahead of {other}, {second:.6g}"
    if not margin:
        ahead = f"none: level with {other}, and the lower number wins"
    spread = _spread(search, best, confirmed)
    if spread is None:
        return (
            f"{ahead}. How much of that is luck of the seed is not known: "
            "`tune.confirm` or `tune.num_seeds` tells"
        )
    # Of two runs each varies; and a mean over n seeds varies by a root of n less.
    chance = spread * math.sqrt(2 / plan.num_seeds)
    words = "beyond" if margin > _CLEAR * chance else "within"
    return (
        f"{ahead}; {words} the noise of seeds: a run varies by ± {spread:.4g}, so that the "
        f"difference of two varies by ± {chance:.4g}"
    )


def _other_values(search: Search, best: Trial) -> list[tuple[float, int]]:
    """Return the value of each other setting that is whole, with its first trial."""
    plan, found = search.plan, []
    for first in range(0, len(search.trials), plan.num_seeds):
        trials = setting_of(search.trials, first, plan.num_seeds)
        values = _values([one for one in trials if one.is_whole], plan.metric)
        if values and best not in trials:
            found.append((math.fsum(values) / len(values), first))
    return found


def _values(trials: Sequence[Trial], metric: str) -> list[float]:
    """Return the final values of trials, but for those that are no numbers."""
    found = (trial.metrics.get(metric, math.nan) for trial in trials)
    return [value for value in found if math.isfinite(value)]


def _spread(search: Search, best: Trial, confirmed: ConfirmResult | None) -> float | None:
    """Return by how much a run's value varies with its seed, as a standard deviation."""
    if confirmed is not None and confirmed.std is not None:
        return confirmed.std
    plan = search.plan
    values = _values(setting_of(search.trials, best.number, plan.num_seeds), plan.metric)
    return statistics.stdev(values) if len(values) > 1 else None


def _outcomes(run: StartedRun, search: Search) -> list[str]:
    counts = Counter(str(trial.outcome or "under way") for trial in search.trials)
    rungs = Counter(
        trial.verdicts[-1].time
        for trial in search.trials
        if trial.outcome == "stopped" and trial.verdicts and trial.verdicts[-1].action == "stop"
    )
    tune = run.settings.tune
    unit = getattr(tune.scheduler if tune else None, "time_attr", "epoch")
    at = [f"{unit} {time}: {count}" for time, count in sorted(rungs.items())[:_MAX_RUNGS]]
    why = {
        "finished": "came to their end",
        "stopped_early": "ended before, whole, by early stopping or the budget",
        "stopped": f"lost against others, at {', '.join(at)}" if at else "budget spent",
        "failed": "see below",
    }
    rows = [
        row((name.replace("_", " "), f"{counts[name]:,}", why.get(name, ""))) for name in counts
    ]
    return [row(("outcome", "trials", "when and why")), "|---|---:|---|", *rows]


def _failures(search: Search) -> list[str]:
    failed = [trial for trial in search.trials if trial.error is not None]
    lines = [
        f"- [trial {trial.number}](distrain:trial/{trial.number}) failed at step {trial.step:,}: "
        f"{plain(trial.error.message)[:_MAX_MESSAGE]}"
        for trial in failed[:_MAX_FAILURES]
        if trial.error is not None
    ]
    more = len(failed) - _MAX_FAILURES
    return [*lines, *([f"- and {more:,} more"] if more > 0 else []), ""]


def _took(run: StartedRun, search: Search) -> str:
    spent = search.spent
    cost = cost_text(spent.wall_s, spent.gpu_s / 3600, run.settings)
    slots = f"{run.placement.num_groups} trials at a time" if run.placement.is_bounded else ""
    return ", ".join(filter(None, (cost, f"{spent.epochs:,} epochs", slots)))


def _interruptions(run: StartedRun) -> str:
    records = written_by(WRITER, run.run_dir / JOURNAL)
    counts = Counter(str(one.payload["event"]) for one in records if one.kind == SEARCH)
    told = []
    if counts["began"] > 1:
        told.append(f"gone on with {counts['began'] - 1} times")
    if counts["lost"]:
        told.append(f"{counts['lost']} times a trial's process was lost")
    return "; ".join(told) or "no, from start to end"
