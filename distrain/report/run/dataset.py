"""What the run was trained on: sources, splits, columns, findings, and whether all was in order."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final

from distrain.data.shards import SPLITS
from distrain.report.page.markup import Markup, joined, tag
from distrain.report.page.parts import Column, Row, checklist, folded, note, table
from distrain.report.page.shell import Section
from distrain.report.page.words import number_text, share_text
from distrain.report.profile_text import in_source_order
from distrain.report.run.view import RunView
from distrain.results import finding_text

MAX_SHOWN_COLUMNS: Final = 24
MAX_SHOWN_VALUES: Final = 4
_HEADS: Final = (
    Column("column"),
    Column("used as"),
    Column("type"),
    Column("missing", is_number=True),
    Column("range, or most frequent values"),
    Column("mean ± deviation", is_number=True),
)
_KINDS: Final = {"none": "–", "id": "passed through"}  # noqa: RUF001 - an en dash


def data_section(run: RunView) -> Section | None:
    """Return what the data is; None where nothing is known of it."""
    data = run.data
    if not data.get("splits"):
        return None
    rows = {name: int(facts["num_rows"]) for name, facts in data["splits"].items()}
    lead = ", ".join(f"{name} {rows[name]:,} rows" for name in SPLITS if rows.get(name))
    content = joined([_checklist(run), _sources(data), _profile(run)])
    return Section(
        "data", "Data", content, f"{lead.capitalize()}. Digest {str(data.get('digest'))[:12]}."
    )


def _checklist(run: RunView) -> Markup:
    heading = tag("h3", "Preparation")
    return joined([heading, checklist(list(checks(run.data)))])


def checks(data: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
    """Give what was looked at when the data was prepared, and whether it was in order.

    Args:
        data: as `RunView.data`.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for finding in data.get("findings", []):
        found.setdefault(str(finding["kind"]), []).append(finding)
    sources = data.get("sources", [])
    yield True, f"{_files(len(sources))} known by content (SHA-256), hashed while read"
    yield from _split_checks(data, found)
    yield True, "what columns are scaled and filled by was fitted on the training rows alone"
    yield from _found(found, ("missing-target",), "every row has a target")
    yield from _found(found, ("missing-values", "infinite-values"), "no value is missing")
    yield from _found(found, ("duplicate-rows",), "no row repeats another")
    yield from _found(found, ("outliers",), "no number is further than 10 deviations from its mean")
    yield from _found(found, ("class-imbalance",), "no class is 10 times rarer than another")
    yield from _found(found, ("capped-target",), "no target looks as if it were cut off")
    known = {
        "missing-target",
        "missing-values",
        "infinite-values",
        "duplicate-rows",
        "outliers",
        "class-imbalance",
        "capped-target",
        "test-rows-in-training",
    }
    for kind in found:
        if kind not in known:
            yield from _found(found, (kind,), "")


def _split_checks(
    data: Mapping[str, Any], found: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Iterator[tuple[bool, str]]:
    recipe = data.get("recipe", {})
    split = recipe.get("split", {})
    tested = int(data["splits"].get("test", {}).get("num_rows", 0))
    seed = split.get("seed")
    kind = split.get("kind")
    how = f"kind {kind}, seed {seed}" if kind else f"by seed {seed}"
    yield True, f"rows are in splits by what they are and where they stand, {how}"
    if not tested:
        yield False, "there is no test split: how good the model is on new rows is not known"
    elif recipe.get("has_test_source"):
        text = "the test rows come from a source of their own, and none is also trained on"
        yield from _found(found, ("test-rows-in-training",), text)
    else:
        yield True, "the test split was set aside before anything was fitted, and used once"


def _found(
    found: Mapping[str, Sequence[Mapping[str, Any]]], kinds: Sequence[str], otherwise: str
) -> Iterator[tuple[bool, str]]:
    """Give what was found of some kinds; where nothing was, that it was looked for."""
    told_of = [finding for kind in kinds for finding in found.get(kind, [])]
    for finding in told_of:
        yield False, finding_text(finding)
    if not told_of and otherwise:
        yield True, otherwise


def _sources(data: Mapping[str, Any]) -> Markup:
    columns = [
        Column("source"),
        Column("rows", is_number=True),
        Column("bytes", is_number=True),
        Column("SHA-256"),
    ]
    rows = [
        Row(
            [
                _short(str(source["uri"])),
                number_text(source.get("num_rows")),
                number_text(source["num_bytes"]) if source.get("num_bytes") else "",
                str(source.get("sha256") or "")[:12],
            ]
        )
        for source in data.get("sources", [])
    ]
    shown = table(columns, rows[:MAX_SHOWN_VALUES])
    if len(rows) <= MAX_SHOWN_VALUES:
        return shown
    rest = table(columns, rows[MAX_SHOWN_VALUES:])
    return joined([shown, folded(f"{len(rows) - MAX_SHOWN_VALUES:,} more files", rest)])


def _profile(run: RunView) -> Markup:
    profile = in_source_order(run.data)
    if not profile:
        return note("Nothing is known of the columns.")
    asked = run.setting("data.target")
    targets = asked if isinstance(asked, list) else [asked]
    rows = [
        Row(_cells(name, {**facts, "kind": "target"} if name in targets else facts))
        for name, facts in profile.items()
    ]
    shown = table(_HEADS, rows[:MAX_SHOWN_COLUMNS])
    if len(rows) <= MAX_SHOWN_COLUMNS:
        return shown
    rest = table(_HEADS, rows[MAX_SHOWN_COLUMNS:])
    return joined([shown, folded(f"{len(rows) - MAX_SHOWN_COLUMNS:,} more columns", rest)])


def _cells(name: str, facts: Mapping[str, Any]) -> list[str]:
    training = facts.get("training", {})
    mean, deviation = training.get("mean"), training.get("deviation")
    num_rows = int(facts.get("num_rows") or 0)
    missing = int(facts.get("num_missing") or 0)
    kind = str(facts.get("kind", ""))
    return [
        name,
        _KINDS.get(kind, kind),
        str(facts.get("type", "")),
        share_text(missing / num_rows) if missing and num_rows else "",
        _values(facts, training),
        f"{number_text(mean)} ± {number_text(deviation)}" if mean is not None else "",
    ]


def _values(facts: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    values = training.get("values")
    if values:
        named = [f"{value} ({count:,})" for value, count in list(values.items())[:MAX_SHOWN_VALUES]]
        more = int(facts.get("num_values", len(values))) - len(named)
        return ", ".join(named) + (f" and {more:,} more" if more > 0 else "")
    if "low" in facts:
        return f"{number_text(facts['low'])} to {number_text(facts['high'])}"
    return ""


def _files(count: int) -> str:
    return "the source file is" if count == 1 else f"{count:,} source files are"


def _short(uri: str) -> str:
    """Return the end of a long path, by which it is known."""
    parts = PurePath(uri).parts
    return uri if len(parts) <= 3 or "://" in uri else "…/" + "/".join(parts[-2:])
