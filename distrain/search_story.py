"""A search told in words, for whoever opens its page at MLflow without having seen it before.

In: a search at its end, and what came after it. Out: Markdown: which trial won and by what margin
over the luck of seeds, what was stopped and failed, when and why, then what `run_story.py` tells.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from distrain.cost import gpu_hours, took_text
from distrain.errors import DistrainError
from distrain.margin import margin, settings_of
from distrain.results import RunStatus, TrainResult
from distrain.run_facts import StartedRun
from distrain.run_folder import JOURNAL
from distrain.run_story import goals_text
from distrain.story import (
    REPORT_LINK,
    assignment_text,
    changes_text,
    code_text,
    data_text,
    interruptions_text,
    limits_text,
    load_text,
    machine_text,
    maker_text,
    model_text,
    other_run_text,
    row,
)
from distrain.track import describe
from distrain.track.journal_reading import written_by
from distrain.track.markdown import plain
from distrain.track.record import RunFacts
from distrain.track.saved_views import MAX_LISTED
from distrain.track.trials import SEARCH
from distrain.tune.confirm import ConfirmResult
from distrain.tune.course import Course
from distrain.tune.events import WRITER
from distrain.tune.search import Search

_MAX_FAILURES: Final = 8
_MAX_RUNGS: Final = 8
_MAX_MESSAGE: Final = 200


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
    tags, waiting = facts.tags, _waiting_model(run, facts, winner)
    search = course.search if course is not None else None
    lines = [f"### {_headline(search, error)}", "", _links(search), ""]
    if search is not None:
        lines += [*describe.fact_lines(_of_winner(search, course)), "", *_outcomes(run, search), ""]
        lines += _failures(search)
    if winner is not None:
        lines += ["", *describe.metric_table(winner.metrics), ""]
    told = {
        "Goals": goals_text(winner.goals) if winner else "",
        "Model": model_text(winner.model, waiting, _WHERE_JUDGED) if winner else "",
        "Winner's folder": winner.run_dir.name if winner else "",
        "Data": data_text(facts.manifest, run.prepared.dataset.digest),
        "What changed": changes_text(run.run_dir),
        "From any other search": other_run_text(run.run_dir),
        "Code": code_text(tags),
        "Took": _took(run, search) if search else "",
        "Interrupted or resized": _interruptions(run, _status(winner, error)),
        "Ran on": machine_text(tags),
        "Limits": limits_text(facts, winner.metrics if winner else {}),
        "Made by": maker_text(tags),
    }
    lines += [*describe.fact_lines(told), *load_text(winner.model if winner else None, waiting)]
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
_WHERE_JUDGED: Final = "Its page has the comparison with what has the alias."


def _links(search: Search | None) -> str:
    is_large = search is not None and search.best is not None and len(search.trials) > MAX_LISTED
    links = [
        _VIEWS,
        *(["[All trials](distrain:all)"] if is_large else []),
        REPORT_LINK,
        "[every decision](distrain:artifacts/search/decisions.csv)",
        "[every trial](distrain:artifacts/search/trials.csv)",
    ]
    return " | ".join(links)


def _waiting_model(run: StartedRun, facts: RunFacts, winner: TrainResult | None) -> str | None:
    """Return the name that the winner's model is still to be registered under; None: it is not."""
    if winner is None or winner.error is not None or winner.model is not None:
        return None
    if winner.status == "interrupted" or winner.tracking == "complete":  # or it was refused
        return None
    return run.settings.track.register_.model or facts.experiment


def _status(winner: TrainResult | None, error: DistrainError | None) -> RunStatus:
    """Return how a search stands at its end."""
    if error is not None:
        return "failed"
    was_interrupted = winner is not None and winner.status == "interrupted"
    return "interrupted" if was_interrupted else "finished"


def _headline(search: Search | None, error: DistrainError | None) -> str:
    best = search.best if search is not None else None
    if search is None or best is None:
        return f"Failed: {plain(error.message)}" if error else "No trial came to its end"
    won = f"Trial {best.number} won: {plain(search.plan.metric)} {search.best_value:.6g}"
    return f"{won}. But then: {plain(error.message)}" if error else won


def _of_winner(search: Search, course: Course | None) -> dict[str, str]:
    best = search.best
    if best is None:
        return {}
    confirmed = course.confirmed if course is not None else None
    audited = course.audited if course is not None else None
    return {
        "Winner": f"{_link(best.number)}, {assignment_text(best.assignment)}",
        "Margin": _margin_text(search, confirmed),
        "With other seeds": plain(confirmed.text) if confirmed else "",
        "Audit of the stops": plain(audited.text) if audited else "",
    }


def _margin_text(search: Search, confirmed: ConfirmResult | None) -> str:
    plan = search.plan
    return margin(settings_of(search), plan.mode, plan.num_seeds, confirmed).text(_link)


def _link(number: int) -> str:
    return f"[trial {number}](distrain:trial/{number})"


def _outcomes(run: StartedRun, search: Search) -> list[str]:
    counts = Counter(str(trial.outcome or "under way") for trial in search.trials)
    rungs = Counter(
        trial.verdicts[-1].time
        for trial in search.trials
        if trial.outcome == "stopped" and trial.verdicts and trial.verdicts[-1].action == "stop"
    )
    tune = run.settings.tune
    unit = getattr(tune.scheduler if tune else None, "time_attr", "epoch")
    why = {
        "finished": "came to their end",
        "stopped_early": "ended before, whole, by early stopping or the budget",
        "stopped": stops_text(counts["stopped"], rungs, unit),
        "failed": "see below",
    }
    rows = [
        row((name.replace("_", " "), f"{counts[name]:,}", why.get(name, ""))) for name in counts
    ]
    return [row(("outcome", "trials", "when and why")), "|---|---:|---|", *rows]


def stops_text(num_stopped: int, rungs: Mapping[int, int], unit: str) -> str:
    """Return when trials lost against others, and how many ended with the budget; all add up.

    Args:
        num_stopped: all that were stopped.
        rungs: when some lost against others, to their number.
        unit: what time is counted in.
    """
    if not rungs:
        return "budget spent"
    first = sorted(rungs.items())[:_MAX_RUNGS]
    at = [f"{unit} {time}: {count:,}" for time, count in first]
    num_further = sum(rungs.values()) - sum(count for _, count in first)
    at += [f"later: {num_further:,} further"] if num_further else []
    num_spent = num_stopped - sum(rungs.values())
    spent = f"; {num_spent:,} with the budget" if num_spent else ""
    return f"lost against others, at {', '.join(at)}{spent}"


def _failures(search: Search) -> list[str]:
    failed = [trial for trial in search.trials if trial.error is not None]
    lines = [
        f"- {_link(trial.number)} failed at step {trial.step:,}: "
        f"{plain(trial.error.message, _MAX_MESSAGE)}"
        for trial in failed[:_MAX_FAILURES]
        if trial.error is not None
    ]
    more = len(failed) - _MAX_FAILURES
    return [*lines, *([f"- and {more:,} more"] if more > 0 else []), ""]


def _took(run: StartedRun, search: Search) -> str:
    spent = search.spent
    price = run.settings.cluster.price_per_gpu_hour
    cost = took_text(spent.wall_s, gpu_hours(spent.gpu_s), price)
    slots = f"{run.placement.num_groups} trials at a time" if run.placement.is_bounded else ""
    return ", ".join(filter(None, (cost, f"{spent.epochs:,} epochs", slots)))


def _interruptions(run: StartedRun, status: RunStatus) -> str:
    records = written_by(WRITER, run.run_dir / JOURNAL)
    counts = Counter(str(one.payload["event"]) for one in records if one.kind == SEARCH)
    told = []
    if counts["began"] > 1:
        told.append(f"gone on with {counts['began'] - 1} times")
    if counts["lost"]:
        told.append(f"{counts['lost']} times a trial's process was lost")
    return interruptions_text(told, status)
