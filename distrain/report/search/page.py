"""The page of a search, from its folder: what `distrain report` writes of one, and its end."""

import json
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Final

from distrain.cost import hours_text, money_text
from distrain.durations import duration_text
from distrain.report.page.guarded import drawn, found
from distrain.report.page.markup import Content, Markup, joined, tag
from distrain.report.page.parts import Card, facts, to_paste
from distrain.report.page.shell import Outcome, Page, Section, page
from distrain.report.page.style import Tone
from distrain.report.page.words import counted, number_text, share_text
from distrain.report.run.view import when_text
from distrain.report.search.best import best_figure
from distrain.report.search.curves import curves
from distrain.report.search.failing import failing_section
from distrain.report.search.parameters import parameters_section
from distrain.report.search.savings import KINDS, Savings, savings
from distrain.report.search.scoring import scores_of
from distrain.report.search.standings import Entry, best_so_far, leaderboard, winner_of
from distrain.report.search.stopping import stopping_section, title_of_stopping
from distrain.report.search.timing import timing_section
from distrain.report.search.view import SearchView
from distrain.report.search.winner import leaderboard_section, winner_section
from distrain.since import compare_line

_WORDS: Final[Mapping[str, tuple[str, Tone]]] = {
    "finished": ("Finished", "good"),
    "stopped_early": ("Finished", "good"),
    "failed": ("Failed", "bad"),
    "interrupted": ("Interrupted", "warn"),
    "running": ("Running", "accent"),
    "cut_off": ("Cut off", "bad"),
}


def search_page(search: SearchView, made_ms: int) -> str:
    """Return a search's report as one HTML file.

    Args:
        search: the search, as it was read.
        made_ms: when, in milliseconds since 1970 (UTC).
    """
    version = search.started.tags.get("distrain.version", "") if search.started else ""
    entries, saved = cache(partial(leaderboard, search)), cache(partial(savings, search))
    best = found("the winner", lambda: winner_of(entries()), None)
    winner = best.first.number if best is not None else None
    sections: list[tuple[str, str, Callable[[], Section]]] = [
        ("winner", "The winner", lambda: winner_section(search, entries())),
        ("leaderboard", "Leaderboard", lambda: leaderboard_section(search, entries())),
        ("course", "How it went", lambda: _course_section(search, winner)),
        ("parameters", "What matters", lambda: parameters_section(search, winner)),
        ("stopping", title_of_stopping(search), lambda: stopping_section(search, saved())),
        ("time", "Where the time went", lambda: timing_section(search, saved(), winner)),
        ("failures", "Failures", lambda: failing_section(search)),
        ("setup", "What was searched", lambda: _setup_section(search)),
    ]
    shown = [drawn(key, title, draw) for key, title, draw in sections]
    word, tone = _WORDS[search.status]
    whole = Page(
        kind="Search",
        title=search.name,
        under=found("what was searched", lambda: _under(search), search.run),
        outcome=found("what came of it", lambda: _outcome(search, best), Outcome(word, "", tone)),
        cards=found("key figures", lambda: _cards(search, best, saved()), []),
        sections=[section for section in shown if section is not None],
        foot=f"Written by distrain {version} on {when_text(made_ms)}".replace("  ", " "),
    )
    return page(whole)


def _under(search: SearchView) -> str:
    tune = search.tune
    count = tune.num_trials or len(search.trials)
    began = f" · began {when_text(search.told.began_ms)}" if search.told.began_ms else ""
    algorithms = f"{tune.search_alg.name} + {tune.scheduler.name}"
    return f"{search.run}{began} · {algorithms}, {counted(count, 'trial')}"


def _outcome(search: SearchView, best: Entry | None) -> Outcome:
    word, tone = _WORDS[search.status]
    error = search.result.error if search.result is not None else None
    goals = search.result.goals if search.result is not None else ()
    if any(not goal.is_met for goal in goals):
        word, tone = f"{word}, and a stated goal was not met", "warn"
    told = [str(error)] if error is not None else []
    if best is not None:
        verb = "won" if search.status == "finished" else "leads"
        score = f"{search.metric} {_score_text(search, best)}"
        told.append(f"Trial {best.first.number} {verb} with {score}.")
    told.append(_counts_text(search))
    if search.told.is_budget_spent:
        told.append("The budget was spent before all trials had run.")
    if search.status == "cut_off":
        told.append(f"Nobody drives it now; distrain resume {search.reference} goes on with it.")
    return Outcome(word, " ".join(told), tone)


def _score_text(search: SearchView, best: Entry) -> str:
    return scores_of([best.score], search.mode).text(best.score)


def _counts_text(search: SearchView) -> str:
    """Return how the trials ended, in a sentence."""
    planned = search.tune.num_trials or len(search.trials)
    counts = {kind: len(search.of_kind(kind)) for kind in KINDS}
    finished = f"{counts['finished']:,}" if counts["finished"] else "none"
    stopped = {0: "none was", 1: "1 was"}.get(counts["stopped"], f"{counts['stopped']:,} were")
    parts = [f"{finished} finished", f"{stopped} stopped"]
    parts.append(f"{counts['failed']:,} failed" if counts["failed"] else "none failed")
    if counts["going"]:
        parts.append(f"{_have(counts['going'])} not ended")
    if planned > len(search.trials):
        parts.append(f"{_have(planned - len(search.trials))} not begun")
    return f"Of {planned:,} trials {', '.join(parts[:-1])} and {parts[-1]}."


def _have(count: int) -> str:
    return "1 has" if count == 1 else f"{count:,} have"


def _cards(search: SearchView, best: Entry | None, saved: Savings) -> list[Card]:
    failed = len(search.of_kind("failed"))
    cards = []
    if best is not None:
        note = f"trial {best.first.number}" + (f", ± {number_text(best.std)}" if best.std else "")
        cards.append(Card(f"best {search.metric}", _score_text(search, best), note, "gold"))
    stopped = f"{len(search.of_kind('stopped')):,} stopped"
    inside = duration_text(saved.spent.train_s)
    cards += [
        Card("trials", f"{len(search.trials):,}", stopped),
        Card("failed", f"{failed:,}", "true failures", "bad" if failed else None),
        Card("epochs", f"{saved.spent.epochs:,}", _saved_text(saved)),
        Card(
            "time",
            duration_text(search.told.wall_s),
            f"{inside} in trials",
        ),
    ]
    hours, money = saved.gpu_hours(saved.spent.train_s), saved.money(saved.spent.train_s)
    if hours is not None and money is not None:
        cards.append(Card("cost of GPUs", money_text(money), hours_text(hours)))
    elif hours is not None:
        cards.append(Card("GPU-hours", number_text(hours), f"{number_text(saved.gpus)} per trial"))
    return cards


def _saved_text(saved: Savings) -> str:
    if not saved.saved_epochs or saved.saved_fraction is None:
        return "none saved"
    return f"{saved.saved_epochs:,} saved, {share_text(saved.saved_fraction)}"


def _course_section(search: SearchView, winner: int | None) -> Section:
    """Return how the search went: the best so far, and every trial's curve."""
    parts: list[Markup] = [best_figure(search, best_so_far(search))]
    if any(trial.curve for trial in search.trials):
        parts.append(curves(search, winner))
    return Section("course", "How it went", joined(parts))


def _setup_section(search: SearchView) -> Section:
    """Return what was asked for, and what it was made of."""
    tune = search.tune
    rows: list[tuple[str, Content]] = [
        ("Metric", f"{search.metric}, {'less' if search.mode == 'min' else 'more'} is better"),
        ("Proposed by", tune.search_alg.name),
        ("Scheduler", _scheduler_text(search)),
        ("Seeds of each setting", str(tune.num_seeds)),
        ("Budget", _budget_text(search)),
        ("Goes on from", search.told.inherited),
        ("Seed", str(search.settings.seed)),
        *(
            (f"Space: {path}", _space_text(entry.model_dump()))
            for path, entry in tune.space.items()
        ),
        *((f"Constraint {at}", text) for at, text in enumerate(tune.constraints, 1)),
    ]
    if search.started is not None:
        tags = search.started.tags
        rows += [
            ("Data", search.started.dataset_digest),
            ("Code", tags.get("mlflow.source.git.commit") or tags.get("distrain.code.sha256")),
            ("Machine", tags.get("distrain.cpu")),
        ]
    line = to_paste(compare_line(search.run_dir))
    parts = [facts(rows), tag("h3", "What differs from another search"), line]
    return Section("setup", "What was searched", joined(parts))


def _scheduler_text(search: SearchView) -> str:
    fields = search.tune.scheduler.model_dump(exclude={"name"})
    told = ", ".join(f"{name} {value}" for name, value in fields.items() if value is not None)
    return f"{search.tune.scheduler.name}{f': {told}' if told else ''}"


def _budget_text(search: SearchView) -> str:
    fields = search.tune.budget.model_dump()
    told = ", ".join(f"{name} {value:g}" for name, value in fields.items() if value is not None)
    return told or "none"


def _space_text(entry: dict[str, object]) -> str:
    return ", ".join(f"{kind} {json.dumps(value)}" for kind, value in entry.items())
