"""The whole page of a training run.

A folder may come from anywhere, or from another version: a section whose record has other fields
says so, and the others are drawn.
"""

import logging
from collections.abc import Callable
from typing import Final

from distrain.report.page.parts import note
from distrain.report.page.shell import Page, Section, page
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

# What a record that nobody here has written may fail with.
_MALFORMED: Final = (AttributeError, IndexError, KeyError, TypeError, ValueError)
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

logger = logging.getLogger(__name__)


def run_page(run: RunView) -> str:
    """Return a run's report as one HTML file."""
    sections = [_drawn(key, title, draw, run) for key, title, draw in _SECTIONS]
    version = run.story.tags.get("distrain.version", "")
    return page(
        Page(
            kind="Training run",
            title=run.name,
            under=_under(run),
            outcome=outcome_of(run),
            cards=cards_of(run),
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


def _drawn(key: str, title: str, draw: Draw, run: RunView) -> Section | None:
    """Return a section, or that what was recorded for it cannot be drawn."""
    try:
        return draw(run)
    except _MALFORMED as fault:
        logger.warning("%s: section %r cannot be drawn: %r", run.folder, title, fault)
        text = f"What was recorded for this section has other fields ({type(fault).__name__})."
        return Section(key, title, note(text, "warn"))
