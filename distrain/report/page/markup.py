"""HTML and SVG made from Python values, so that no text can become markup.

A `str` is always text and is escaped; only `tag` and `joined` make `Markup`.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import TypeAlias, final

VOID: frozenset[str] = frozenset({"br", "hr", "meta", "wbr"})


@final
@dataclass(frozen=True)
class Markup:
    """HTML that is whole and escaped.

    Attributes:
        text: the HTML.
    """

    text: str


Content: TypeAlias = "Markup | str | None"
"""What an element may hold: markup, a text that is escaped, or nothing."""

NOTHING = Markup("")


def tag(name: str, /, *children: Content, **attributes: "str | float | None") -> Markup:
    """Return an element.

    Args:
        name: the element's name.
        children: what it holds.
        attributes: their names, with `_` in place of `-` and at the end of Python's own words
            (`class_`, `stroke_width`); numbers are rounded to a tenth, None leaves one out.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{joined(children).text}</{name}>")


def joined(parts: Iterable[Content]) -> Markup:
    """Return contents one after another."""
    return Markup(
        "".join(part.text if isinstance(part, Markup) else escape(part) for part in parts if part)
    )


def breakable(name: str) -> Markup:
    """Return a name that a narrow column breaks between its parts, not within one."""
    first, *others = re.split(r"(?<=[/._])(?=\w)", name)
    return joined([first, *(part for other in others for part in (tag("wbr"), other))])


def coordinate(value: float) -> str:
    """Return a number as figures have it: to a tenth, and no longer than it must be.

    Raises:
        ValueError: it is not finite, so that a figure has no place for it.
    """
    if not math.isfinite(value):
        raise ValueError(f"a figure has no place for {value}")
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _value(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else coordinate(value)
