"""A run told in words, for whoever opens its page at MLflow without having seen it before.

In: a run at its end. Out: Markdown: how it ended, how good it is, against its goals and what is in
production, on which data and code, what changed since the run before, what it took, whether it was
interrupted, what its limits are, who made it, and how to load it.
"""

import time
from collections.abc import Sequence

from distrain.cost import gpu_hours, took_text
from distrain.evaluate.goals import GoalOutcome
from distrain.finish import Ending, comparison_table, verdict_text
from distrain.past.clock import split_time
from distrain.past.story import read_outline
from distrain.run_facts import StartedRun, summary_text
from distrain.run_folder import JOURNAL
from distrain.story import (
    REPORT_LINK,
    changes_text,
    code_text,
    data_text,
    interrupted_text,
    limits_text,
    load_text,
    machine_text,
    maker_text,
    model_text,
    other_run_text,
)
from distrain.track import describe
from distrain.track.markdown import plain
from distrain.track.record import RunRecord


def run_story(run: StartedRun, record: RunRecord, ending: Ending) -> str:
    """Return the description of a run, whose links are filled in when it is sent.

    Args:
        run: the run.
        record: of it, without its end.
        ending: how it ended.
    """
    facts, tags = record.facts, record.facts.tags
    past = read_outline(run.run_dir / JOURNAL)
    took = split_time(past, time.time_ns() // 1_000_000)
    is_known = bool(past.sessions) and run.won is None  # else its first records are lost
    hours = gpu_hours(took.held_s * run.placement.gpu)
    price = run.settings.cluster.price_per_gpu_hour
    # The server may have come back behind the wait for the version.
    version, waiting = ending.version or record.version, record.waiting_model
    told = {
        "Run": plain(summary_text(run)),
        "Goals": goals_text(ending.goals),
        "Model": model_text(version, waiting, _judged(run, ending)) if ending.outcome else "",
        "Data": data_text(facts.manifest, run.prepared.dataset.digest),
        "What changed": "" if run.won else changes_text(run.run_dir),
        "From any other run": "" if run.won else other_run_text(run.run_dir),
        "Code": code_text(tags),
        "Took": took_text(took.wall_s, hours, price) if is_known else "",
        "Interrupted or resized": "" if run.won else interrupted_text(past, ending.status),
        "Ran on": machine_text(tags),
        "Limits": limits_text(facts, ending.metrics),
        "Made by": maker_text(tags),
    }
    lines = [f"### {_outcome_text(run, ending)}", "", REPORT_LINK, ""]
    lines += describe.metric_table(ending.metrics)
    lines += ["", *(comparison_table(ending.verdict) if ending.verdict else []), ""]
    lines += describe.fact_lines(told)
    lines += load_text(version, waiting) if ending.outcome else []
    return "\n".join(lines)


def goals_text(goals: Sequence[GoalOutcome]) -> str:
    """Return the goals that were stated, what was reached, and whether that is enough."""
    told = (
        f"{plain(goal.metric)} {plain(goal.goal)}: "
        f"{'not computed' if goal.value is None else f'{goal.value:.6g}'}, "
        f"{'met' if goal.is_met else 'not met'}"
        for goal in goals
    )
    return "; ".join(told) or "none was stated"


def _outcome_text(run: StartedRun, ending: Ending) -> str:
    if ending.error is not None:
        return f"Failed: {plain(ending.error.message)}"
    assert ending.outcome is not None, "it ended well, or has an error"
    words = ending.status.replace("_", " ").capitalize()
    at = f"{words} after {ending.outcome.step:,} steps, in epoch {ending.outcome.epoch:,}"
    return at if run.won is None else f"Winner of {run.won[0]}: trial {run.won[1]}. {at}"


def _judged(run: StartedRun, ending: Ending) -> str:
    if ending.verdict is None:
        return ""
    return plain(verdict_text(ending.verdict, run.settings.track.register_.alias))
