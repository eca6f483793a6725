"""What each column of prepared data holds, in one line for a person."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

_SHOWN_COLUMNS: Final = 60
_SHOWN_VALUES: Final = 3
_SHOWN_LETTERS: Final = 30


def in_source_order(facts: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what each column holds, in the order of the source where that is known.

    Args:
        facts: a manifest, or what lineage keeps of one: `profile`, and `profile_order`.
    """
    profile: Mapping[str, Mapping[str, Any]] = facts.get("profile", {})
    order = [name for name in facts.get("profile_order", ()) if name in profile]
    return {name: profile[name] for name in dict.fromkeys([*order, *profile])}


def profile_lines(profile: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield each column's name, and its kind and statistics in words.

    Args:
        profile: the manifest's, by column.
    """
    for name, entry in list(profile.items())[:_SHOWN_COLUMNS]:
        yield name, column_text(entry)
    if len(profile) > _SHOWN_COLUMNS:
        yield "...", f"{len(profile) - _SHOWN_COLUMNS:,} columns more: --json has them all"


def column_text(entry: Mapping[str, Any]) -> str:
    """Return what a column of the profile is and holds: all rows, means over training rows."""
    kind = entry["kind"]
    as_what = {"none": ", no feature", "target": ", the target"}.get(kind, f" as {kind}")
    parts = [entry["type"] + as_what, *_values(entry)]
    if entry["num_missing"]:
        parts.append(f"{entry['num_missing'] / max(entry['num_rows'], 1):.1%} missing")
    return ", ".join(parts)


def _values(entry: Mapping[str, Any]) -> Iterator[str]:
    training = entry.get("training", {})
    if "low" in entry:
        yield f"{entry['low']:g} to {entry['high']:g}"
    if "mean" in training:
        yield f"mean {training['mean']:.4g}"
    if "deviation" in training:
        yield f"deviation {training['deviation']:.4g}"
    if "median" in training:
        yield f"median {training['median']:.4g}"
    if "num_values" in entry:
        common = list(training.get("values", {}))[:_SHOWN_VALUES]
        shown = ", ".join(map(_short, common))
        rest = ", ..." if entry["num_values"] > len(common) else ""
        yield f"{entry['num_values']:,} values ({shown}{rest})"


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_LETTERS else f"{text[:_SHOWN_LETTERS]}...")
