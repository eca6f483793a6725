"""What differs in what runs were made from, and what follows from that by necessity.

The first run is held against each of the others, as `differences` tells it; a table has a column
for each. Where the configuration, a source file, code or a library differs, other rows, statistics
and hashes of prepared data follow from it and are told apart. Where none does, they are themselves
what differs.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import distrain.differences as differing
from distrain.compare.code import CodeChange, code_changes, code_differences, own_files_note
from distrain.compare.kept import Kept
from distrain.compare.sides import Side
from distrain.differences import PARTS, Difference, Part
from distrain.redaction import redacted
from distrain.track.origin import MODEL_ARGS_TAG

PLACES: Final = ("host", "user", "num_cores", "platform")
"""What tells where a run was made, beside what bits depend on."""
_TOLD_BEFORE: Final = ("recipe.", "prepared split")
"""What begins differences of prepared data that the configuration, or sources, tell better."""


@final
@dataclass(frozen=True)
class Row:
    """One thing that is not the same in all runs.

    Attributes:
        part: what it is a part of.
        what: its name.
        values: of each run, in their order; None: it is not there.
    """

    part: str
    what: str
    values: tuple[str | None, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {"part": self.part, "what": self.what, "values": list(self.values)}


@final
@dataclass(frozen=True)
class Differences:
    """What differs between runs.

    Attributes:
        causes: what was made otherwise, by part.
        follows: what follows from it of the data.
        code: how files of the user's own differ.
        same: part to how many things of it are the same in all.
        notes: what else there is to know, in words.
    """

    causes: tuple[Row, ...]
    follows: tuple[Row, ...]
    code: tuple[CodeChange, ...]
    same: Mapping[str, int]
    notes: tuple[str, ...]


def what_differs(sides: Sequence[Side]) -> Differences:
    """Return what differs between runs.

    Args:
        sides: at least two.
    """
    first, *others = sides
    causes: list[list[Difference]] = []
    follows: list[list[Difference]] = []
    for other in others:
        told, prepared = _made_otherwise(first, other), _prepared(first, other)
        is_explained = any(map(_explains, told))
        causes.append([*told, *([] if is_explained else prepared)])
        follows.append([one for one in prepared if is_explained and not _is_told_before(one)])
    return Differences(
        merged(causes),
        merged(follows),
        tuple(change for other in others for change in _code_changes(first, other)),
        _same(sides),
        tuple(_notes(sides)),
    )


def merged(by_other: Sequence[Sequence[Difference]]) -> tuple[Row, ...]:
    """Return the differences of a first run from each of the others, a column for each run.

    Args:
        by_other: of each other run, how it differs: the first is what it was.
    """
    firsts = {(one.part, one.what): one.was for found in by_other for one in found}
    columns = [{(one.part, one.what): one.now for one in found} for found in by_other]
    return tuple(
        Row(
            place[0],
            redacted(place[1]),
            tuple(map(_plain, (was, *(column.get(place, was) for column in columns)))),
        )
        for place, was in sorted(firsts.items(), key=lambda item: PARTS.index(item[0][0]))
    )


def _plain(text: str | None) -> str | None:
    """Return a value as it is written in a configuration, with secrets masked."""
    if text is None:
        return None
    is_quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return redacted(str(json.loads(text)) if is_quoted else text)


def _made_otherwise(first: Side, other: Side) -> list[Difference]:
    """Return what was made otherwise, by hand or by what was at hand."""
    tags = (side.told.tags.get(MODEL_ARGS_TAG, "none") for side in (first, other))
    filled_in = ({"variables in model.args": digest} for digest in tags)
    found = [
        *differing.of_configuration(first.config, other.config),
        *differing.between("configuration", *filled_in),
    ]
    was, now = first.kept, other.kept
    if was is None or now is None:
        return found
    found += differing.of_libraries(was.libraries, now.libraries)
    found += differing.of_machine(was.machine, now.machine)
    found += differing.between("machine", _places(was), _places(now))
    after = [(source["uri"], [source["sha256"]]) for source in now.sources]
    found += differing.of_sources(was.sources, after)
    return [*found, *code_differences(was, now, found)]


def _places(kept: Kept) -> dict[str, str]:
    return {key: str(kept.machine.get(key)) for key in PLACES}


def _prepared(first: Side, other: Side) -> list[Difference]:
    if first.kept is None or other.kept is None:
        return []
    return differing.of_prepared(first.kept.data, other.kept.data)


def _explains(difference: Difference) -> bool:
    """Return whether other prepared data follows from a difference."""
    is_of_data = difference.part == "configuration" and difference.what.startswith("data.")
    return is_of_data or difference.part in ("data", "code", "libraries")


def _is_told_before(difference: Difference) -> bool:
    return difference.what.startswith(_TOLD_BEFORE)


def _code_changes(first: Side, other: Side) -> Iterator[CodeChange]:
    if first.kept is not None and other.kept is not None:
        yield from code_changes(other.letter, first.kept, other.kept)


def _same(sides: Sequence[Side]) -> dict[str, int]:
    """Return how many things of each part are the same in all runs."""
    tables = [_tables(side) for side in sides]
    parts = [part for part in PARTS if all(part in table for table in tables)]
    return {part: _num_same([table[part] for table in tables]) for part in parts}


def _num_same(tables: Sequence[Mapping[str, str]]) -> int:
    first, *others = tables
    return sum(all(table.get(key) == text for table in others) for key, text in first.items())


def _tables(side: Side) -> dict[Part, Mapping[str, str]]:
    """Return all that is compared of a run, by part."""
    tables: dict[Part, Mapping[str, str]] = {"configuration": differing.leaves(side.config)}
    kept = side.kept
    if kept is None:
        return tables
    keys = (*differing.MACHINE_KEYS, *PLACES)
    return tables | {
        "libraries": kept.libraries,
        "machine": {key: str(kept.machine.get(key)) for key in keys},
        "code": {**kept.own_files, **kept.user_files},
        "data": {source["uri"]: source["sha256"] for source in kept.sources},
    }


def _notes(sides: Sequence[Side]) -> Iterator[str]:
    first = sides[0]
    for side in sides:
        if side.kept is None:
            yield (
                f"{side.letter} has no folder lineage/, so libraries, machine, code and data are "
                "not compared with it"
            )
        elif first.kept is not None:
            letters = f"{first.letter} and {side.letter}"
            told = own_files_note(letters, first.kept, side.kept)
            if told is not None:
                yield told
