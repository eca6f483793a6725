"""Parts of a page that are drawn from records which nobody here may have written.

A folder may come from anywhere, or from another version: what was recorded in other fields is told,
and the rest of the page is drawn.
"""

import logging
from collections.abc import Callable
from typing import Final, TypeVar

from distrain.report.page.parts import note
from distrain.report.page.shell import Section

MALFORMED: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading a record fails with that has other fields."""

T = TypeVar("T")
logger = logging.getLogger(__name__)


def drawn(key: str, title: str, draw: Callable[[], Section | None]) -> Section | None:
    """Return a section, or one that says that what was recorded for it cannot be drawn.

    Args:
        key: the section's name in links.
        title: its heading.
        draw: draws it.
    """
    try:
        return draw()
    except MALFORMED as fault:
        logger.warning("the section %r cannot be drawn: %r", title, fault)
        text = f"What was recorded for this section has other fields ({type(fault).__name__})."
        return Section(key, title, note(text, "warn"))


def found(what: str, find: Callable[[], T], instead: T) -> T:
    """Return what is drawn outside of the sections, or something else where that cannot be.

    Args:
        what: what it is, for the log.
        find: finds it.
        instead: what is drawn in its place.
    """
    try:
        return find()
    except MALFORMED as fault:
        logger.warning("%s cannot be told: %r", what, fault)
        return instead
