"""The whole page of a training run."""

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


def run_page(run: RunView) -> str:
    """Return a run's report as one HTML file."""
    sections = [
        goals_section(run),
        curves_section(run),
        wrong_section(run),
        time_section(run),
        load_section(run),
        data_section(run),
        changes_section(run),
        attempts_section(run),
        card_section(run),
        origin_section(run),
    ]
    version = run.story.tags.get("distrain.version", "")
    return page(
        Page(
            kind="Training run",
            title=run.name,
            under=_under(run),
            outcome=outcome_of(run),
            cards=cards_of(run),
            sections=[section for section in sections if isinstance(section, Section)],
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
