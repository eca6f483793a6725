"""The page itself: what stands at its head, its sections, and the way to each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from distrain.report.page.markup import NOTHING, Markup, joined, tag
from distrain.report.page.parts import Card, cards
from distrain.report.page.style import Tone, css


@final
@dataclass(frozen=True)
class Section:
    """A part of a page, which the table of contents leads to.

    Attributes:
        key: its name in links: small letters and `-`.
        title: its heading.
        content: what it holds.
        lead: what it says, in a sentence; empty: nothing.
    """

    key: str
    title: str
    content: Markup
    lead: str = ""


@final
@dataclass(frozen=True)
class Outcome:
    """What came of it, in words.

    Attributes:
        word: in a word or two: `Finished`, `Failed at step 40`.
        text: what there is to say of it, in sentences.
        tone: `good`, `warn`, `bad` or `accent`.
    """

    word: str
    text: str
    tone: Tone


@final
@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        kind: what it speaks of: `Training run`, `Search`.
        title: its heading and the browser's title.
        under: what stands below the heading: when, where, by whom.
        outcome: what came of it.
        cards: its key figures, the most important first.
        sections: its parts.
        foot: what made it, and when.
    """

    kind: str
    title: str
    under: str
    outcome: Outcome
    cards: Sequence[Card]
    sections: Sequence[Section]
    foot: str


def page(drawn: Page) -> str:
    """Return a page as one HTML file, which needs no other and no network."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", drawn.title),
        Markup(f"<style>{css()}</style>"),
    )
    contents = tag("nav", *(tag("a", part.title, href=f"#{part.key}") for part in drawn.sections))
    top = tag(
        "header",
        tag("p", drawn.kind, class_="kind"),
        tag("h1", drawn.title),
        tag("p", drawn.under, class_="under"),
        _outcome(drawn.outcome),
        cards(drawn.cards),
        contents,
    )
    body = tag("body", top, tag("main", *map(_section, drawn.sections)), tag("footer", drawn.foot))
    return f"<!doctype html>{tag('html', head, body, lang='en').text}\n"


def _outcome(outcome: Outcome) -> Markup:
    text = tag("p", outcome.text) if outcome.text else NOTHING
    return tag("div", tag("b", outcome.word), text, class_=f"outcome {outcome.tone}")


def _section(part: Section) -> Markup:
    lead = tag("p", part.lead, class_="lead") if part.lead else NOTHING
    heading = joined([tag("h2", part.title), lead])
    return tag("section", heading, part.content, id=part.key)
