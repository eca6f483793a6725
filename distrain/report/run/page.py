"""The whole page of a training run.

A folder may come from anywhere, or from another version: a section whose record has other fields
says so, and the others are drawn.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from distrain.report.page.guarded import drawn, found
from distrain.report.page.shell import Outcome, Page, Section, page
from distrain.report.run.attempts import attempts_section
from distrain.report.run.changes import changes_section
from distrain.report.run.curves import curves_section
from distrain.report.run.dataset import data_section
from distrain.report.run.load import load_section
from distrain.report.run.origin import card_section, origin_section
from distrain.report.run.outcome import cards_of, goals_section, outcome_of
from distrain.report.run.spent import time_section
from distrain.report.run.view import RunView, when_text
from distrain.report.run.wrong import wrong_section

Draw = Callable[[RunView], Section | None]

_SECTIONS: Final[tuple[tuple[str, str, Draw], ...]] = (
    ("goals", "Goals", goals_section),
    ("curves", "Curves", curves_section),
    ("wrong", "Where it is wrong", wrong_section),
    ("time", "Where the time went", time_section),
    ("load", "Machines", load_section),
    ("data", "Data", data_section),
    ("changes", "What changed since the run before", changes_section),
    ("course", "What happened", attempts_section),
    ("model", "The model", card_section),
    ("origin", "Where it comes from", origin_section),
)


def run_page(run: RunView) -> str:
    """Return a run's report as one HTML file."""
    sections = [drawn(key, title, partial(draw, run)) for key, title, draw in _SECTIONS]
    untold = Outcome(run.state.replace("_", " ").capitalize(), "", "warn")
    version = run.story.tags.get("distrain.version", "")
    return page(
        Page(
            kind="Training run",
            title=run.name,
            under=found("when it began", partial(_under, run), run.run),
            outcome=found("what came of it", partial(outcome_of, run), untold),
            cards=found("key figures", partial(cards_of, run), []),
            sections=[section for section in sections if section is not None],
            foot=f"Written by distrain {version} on {when_text(run.made_ms)}".replace("  ", " "),
        )
    )


def _under(run: RunView) -> str:
    parts = [run.run]
    if run.story.sessions:
        parts.append(f"began {when_text(run.story.sessions[0].began_ms)}")
    if run.num_workers:
        device = "GPU" if run.gpus_per_worker else "CPU"
        workers = "1 worker" if run.num_workers == 1 else f"{run.num_workers} workers"
        parts.append(f"{workers}, {device}")
    return " · ".join(parts)
