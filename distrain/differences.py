"""What differs between a run as it was recorded and what is at hand now, named one by one. Pure.

In: plain values of a run's lineage, and the same of now. Out: differences in words, each with the
part that it is of, what it was and what it is.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any, Final, Literal, final, get_args

from distrain.train.replay import is_same

Part = Literal["configuration", "libraries", "machine", "code", "data", "order", "training"]
PARTS: Final[tuple[Part, ...]] = get_args(Part)
Values = Mapping[tuple[int, str], float]

# What computes; the rest of what is installed only stands around it.
COMPUTING: Final = (
    "python",
    "torch",
    "numpy",
    "pyarrow",
    "scikit-learn",
    "pandas",
    "ray",
    "safetensors",
    "scipy",
)
MACHINE_KEYS: Final = ("device", "gpus", "cpu", "cpu_capability", "cuda")
MAX_NAMED_FILES: Final = 8
MAX_NAMED_ROWS: Final = 10
_MAX_NAMED_COLUMNS: Final = 8
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_SHOWN_DIGITS: Final = 12
_SHOWN_LENGTH: Final = 120


@final
@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was.

    Attributes:
        part: what it is a part of.
        what: its name: a key, a package, a file, rows, a value of a step.
        was: as recorded; None: it was not there.
        now: as it is; None: it is not there.
        is_decisive: whether to train again would tell nothing: another run is another run.
    """

    part: Part
    what: str
    was: str | None
    now: str | None
    is_decisive: bool = False

    @property
    def text(self) -> str:
        """Return the difference in words, such as `libraries: torch 2.13.0 -> 2.12.0`."""
        return change_text(self.part, self.what, self.was, self.now)

    def to_json(self) -> dict[str, str | None]:
        """Return the fields that `--json` promises."""
        return {"part": self.part, "what": self.what, "was": self.was, "is": self.now}


def change_text(part: str, what: str, was: str | None, now: str | None) -> str:
    """Return a difference in words: its part, its name, what it was and what it is."""
    return f"{part}: {what} {_shown(was)} -> {_shown(now)}"


def leaves(values: Any, prefix: str = "") -> dict[str, str]:
    """Return the single values of nested mappings as JSON, by dotted key."""
    if not isinstance(values, Mapping) or not values:
        return {prefix: json.dumps(values, sort_keys=True, ensure_ascii=False)}
    return {
        name: text
        for key, inner in values.items()
        for name, text in leaves(inner, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def between(
    part: Part, was: Mapping[str, str], now: Mapping[str, str], *, is_decisive: bool = False
) -> list[Difference]:
    """Return what differs between two tables, in the order of the first."""
    return [
        Difference(part, name, was.get(name), now.get(name), is_decisive)
        for name in {**was, **now}
        if was.get(name) != now.get(name)
    ]


def of_configuration(was: Any, now: Any) -> list[Difference]:
    """Return the keys that differ between two configurations, as plain nested values."""
    return between("configuration", leaves(was), leaves(now), is_decisive=True)


def of_libraries(was: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    """Return the packages that differ, those first that compute.

    Args:
        was: version by name, that of `python` among them.
        now: likewise.
    """
    found = between("libraries", was, now)
    return sorted(found, key=lambda difference: (_rank(difference.what), difference.what))


def of_machine(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """Return what differs of the machine that bits may depend on.

    Args:
        was: as `lineage.machine` gives it.
        now: likewise.
    """
    chosen = ({key: leaves(side.get(key))[""] for key in MACHINE_KEYS} for side in (was, now))
    return between("machine", *({k: v.strip('"') for k, v in side.items()} for side in chosen))


def of_files(
    whose: str,
    was: Mapping[str, str],
    now: Mapping[str, str],
    *,
    is_decisive: bool = False,
) -> list[Difference]:
    """Return the files of code that differ, the first few by name.

    Args:
        whose: in a word or two, to stand before the number of the others.
        was: SHA-256 by name.
        now: likewise.
        is_decisive: see `Difference`.
    """
    found = between("code", was, now, is_decisive=is_decisive)
    if len(found) <= MAX_NAMED_FILES:
        return found
    more = f"{len(found) - MAX_NAMED_FILES} more files of {whose}"
    rest = Difference("code", more, "as recorded", "changed", is_decisive)
    return [*found[:MAX_NAMED_FILES], rest]


def of_sources(
    was: Sequence[Mapping[str, Any]], now: Sequence[tuple[str, Sequence[str]]]
) -> list[Difference]:
    """Return the source files whose content differs, or that stand elsewhere in their order.

    A file that came or went in between others is told as that, and those after it are the same.

    Args:
        was: the recorded files, in order, with `uri` and `sha256`.
        now: the files of now, in order, each with the hashes that its content may be named by.
    """
    before = [(str(file["uri"]), str(file["sha256"])) for file in was]
    known = {sha for _, sha in before}
    # A file's content by the name that was recorded, if it is one of its names.
    after = [(uri, next((sha for sha in names if sha in known), names[0])) for uri, names in now]
    matcher = SequenceMatcher(
        a=[sha for _, sha in before], b=[sha for _, sha in after], autojunk=False
    )
    return [
        _of_source(old, new)
        for what, first, last, first_now, last_now in matcher.get_opcodes()
        if what != "equal"
        for old, new in zip_longest(before[first:last], after[first_now:last_now])
    ]


def _of_source(old: tuple[str, str] | None, new: tuple[str, str] | None) -> Difference:
    (uri, sha), (uri_now, sha_now) = old or (None, None), new or (None, None)
    return Difference("data", str(uri_now or uri), sha, sha_now, is_decisive=True)


def of_prepared(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """Return what differs between prepared datasets: how they are kept, recipe, columns, rows.

    Args:
        was: as `lineage_folder.data_facts` gives it.
        now: likewise.
    """
    recipes = (
        leaves({"format of prepared data": side.get("format"), "recipe": side.get("recipe", {})})
        for side in (was, now)
    )
    columns = between(
        "data",
        *(leaves(_columns(side.get("profile", {}))) for side in (was, now)),
        is_decisive=True,
    )
    return [
        *between("data", *recipes, is_decisive=True),
        *columns[:_MAX_NAMED_COLUMNS],
        *(
            difference
            for split in {**was["splits"], **now["splits"]}
            for difference in _of_split(split, was["splits"], now["splits"])
        ),
        *between(
            "data",
            {"digest of the prepared data": str(was["digest"])},
            {"digest of the prepared data": str(now["digest"])},
            is_decisive=True,
        ),
    ]


def of_values(was: Values, now: Values, last_step: int) -> tuple[list[Difference], int]:
    """Return the first recorded value that is another now, and how many steps are the same.

    Args:
        was: what was recorded, by step and metric.
        now: what was recorded when it was made again.
        last_step: of the run as it was recorded; what came later is left out.

    Returns:
        At most one difference, and the number of steps whose values were compared and equal.
    """
    same: set[int] = set()
    for step, name in sorted(was):
        if step > last_step or (step, name) not in now:
            continue
        before, after = was[step, name], now[step, name]
        if not is_same(before, after):
            same.discard(step)
            what = f"{name} of step {step:,}"
            return [Difference("training", what, _number(before), _number(after))], len(same)
        same.add(step)
    return [], len(same)


def of_rows(split: str, rows: Sequence[int], num_rows: int) -> list[Difference]:
    """Return the rows of a split that are not the same, where they are few enough to tell.

    Where a row changes what its column is scaled by, all rows change, and the column tells more.

    Args:
        split: its name.
        rows: their numbers, ascending.
        num_rows: of the split.
    """
    if not rows or len(rows) > max(1, num_rows // 2):
        return []
    shown = ", ".join(f"{row:,}" for row in rows[:MAX_NAMED_ROWS])
    more = f" and {len(rows) - MAX_NAMED_ROWS:,} more" if len(rows) > MAX_NAMED_ROWS else ""
    what = f"prepared split {split}, row{'s' if len(rows) > 1 else ''} {shown}{more}"
    return [Difference("data", what, "as recorded", "changed", is_decisive=True)]


def row_ranges(was: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the rows of a split whose shards differ, such as `rows 0 to 65,535`.

    Args:
        was: the recorded shards, in order, with `num_rows` and `sha256`.
        now: those of now.
    """
    ranges: list[list[int]] = []
    start = 0
    for number in range(max(len(was), len(now))):
        before, after = (side[number] if number < len(side) else None for side in (was, now))
        stop = start + max(shard["num_rows"] for shard in (before, after) if shard is not None)
        if before is None or after is None or before["sha256"] != after["sha256"]:
            if ranges and ranges[-1][1] == start:
                ranges[-1][1] = stop
            else:
                ranges.append([start, stop])
        start = stop
    return [f"rows {first:,} to {end - 1:,}" for first, end in ranges]


def _of_split(split: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    before, after = (side.get(split, {"num_rows": 0, "shards": []}) for side in (was, now))
    if before["num_rows"] != after["num_rows"]:
        count, count_now = (f"{side['num_rows']:,} rows" for side in (before, after))
        yield Difference("data", f"split {split}", count, count_now, is_decisive=True)
    for rows in row_ranges(before["shards"], after["shards"]):
        what = f"prepared split {split}, {rows}"
        yield Difference("data", what, "as recorded", "changed", is_decisive=True)


def _columns(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return a profile whose keys say that they are of columns."""
    return {f"column {name!r}": facts for name, facts in profile.items()}


def _rank(package: str) -> int:
    if package in COMPUTING:
        return COMPUTING.index(package)
    return len(COMPUTING) + (not package.startswith(("nvidia-", "triton", "cuda")))


def _number(value: float) -> str:
    """Return a value with all of its digits; JSON has no word for what is not finite."""
    return repr(value) if math.isfinite(value) else str(value)


def _shown(text: str | None) -> str:
    if text is None:
        return "(absent)"
    if _DIGEST.fullmatch(text):
        return text[:_SHOWN_DIGITS]
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "..."


def in_order(differences: Iterable[Difference]) -> tuple[Difference, ...]:
    """Return differences by the part that they are of, in the order in which these are compared."""
    return tuple(sorted(differences, key=lambda difference: PARTS.index(difference.part)))


def first_decisive(differences: Iterable[Difference]) -> Difference | None:
    """Return the first difference that makes it another run, None where there is none."""
    return next((difference for difference in differences if difference.is_decisive), None)
