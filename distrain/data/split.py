"""Which rows are for training, validation and test: a pure function of the source and a seed.

Rows are divided run by run, yet sizes are exact over the whole. The labelled rows of the source are
thought of as standing in line, sorted by class where the split is stratified; evenly spaced slots
of that line are for validation, evenly spaced slots of the others for test. A run knows where its
rows begin in the line, and puts them there in an order drawn from (seed, run).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distrain.data.runs import RunKey
from distrain.errors import DataError

TRAIN, VALIDATION, TEST, UNUSED = 0, 1, 2, 3
SPLIT_WORDS: Final[Mapping[str, int]] = {
    "train": TRAIN,
    "training": TRAIN,
    "validation": VALIDATION,
    "val": VALIDATION,
    "valid": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
}
# Fractions such as 0.1 are meant as decimals, not as the nearest binary number; and a row's place
# in line times the numerator must not overflow 64 bits.
_MAX_DENOMINATOR: Final = 10**6
_HASH_RANGE: Final = 2**64

Codes = npt.NDArray[np.int64]
Assignment = npt.NDArray[np.int8]


@final
@dataclass(frozen=True)
class SplitPlan:
    """All that a run needs to divide its rows.

    Args:
        kind: of `data.split`.
        validation: fraction of all rows.
        test: fraction of the rows that are not for validation.
        seed: of the order within a run, and of the hash.
        starts: for random and stratified: where the rows of each class of a run begin in the line.
        begins: for time: the first time of validation, and of test.
    """

    kind: str
    validation: Fraction
    test: Fraction
    seed: int
    starts: Mapping[RunKey, tuple[int, ...]]
    begins: tuple[float, float] = (np.inf, np.inf)


def plan_split(
    kind: str,
    fractions: tuple[float, float],
    seed: int,
    class_counts: Mapping[RunKey, Sequence[int]],
) -> SplitPlan:
    """Return the plan for rows whose number in each run, and class, is known.

    Args:
        kind: of `data.split`.
        fractions: for validation and for test, of all labelled rows, together below 1.
        seed: of the split.
        class_counts: labelled rows of each run by class, in the order of the runs; a single class
            unless stratified.
    """
    validation, test = (Fraction(part).limit_denominator(_MAX_DENOMINATOR) for part in fractions)
    rest = (test / (1 - validation)).limit_denominator(_MAX_DENOMINATOR)
    if kind in ("group", "time", "hash", "fixed"):
        return SplitPlan(kind, validation, rest, seed, {})
    total = sum(sum(counts) for counts in class_counts.values())
    validation = _at_least_one(validation, total)
    rest = _at_least_one(rest, total - int(total * validation))
    return SplitPlan(kind, validation, rest, seed, _starts(class_counts))


def assign(plan: SplitPlan, key: RunKey, codes: Codes) -> Assignment:
    """Return the split of each row of a run, for random and stratified.

    Args:
        plan: from `plan_split`.
        key: the run.
        codes: each row's class (0 for all unless stratified), -1 for rows without a target, `(n,)`.

    Returns:
        TRAIN, VALIDATION, TEST or UNUSED for each row, `(n,)`.
    """
    assignment = np.full(len(codes), UNUSED, dtype=np.int8)
    order = _shuffled(plan.seed, key, len(codes))
    starts = plan.starts[key]
    for code in np.unique(codes[codes >= 0]):
        rows = order[codes[order] == code]
        slots = starts[code] + np.arange(len(rows), dtype=np.int64)
        assignment[rows] = _divide(slots, plan.validation, plan.test)
    return assignment


def assign_by_hash(plan: SplitPlan, values: pa.Array) -> Assignment:
    """Return the split of each row by a hash of a value, so that equal values stay together.

    Args:
        plan: from `plan_split`.
        values: text, null for missing (which counts as one more value), `(n,)`.
    """
    encoded = values.dictionary_encode(null_encoding="encode")
    of_value = [_split_of_value(plan, value) for value in encoded.dictionary.to_pylist()]
    places = encoded.indices.to_numpy(zero_copy_only=False)
    return np.array(of_value, dtype=np.int8)[places] if len(places) else np.empty(0, np.int8)


def assign_by_time(plan: SplitPlan, times: npt.NDArray[np.float64]) -> Assignment:
    """Return the split of each row by its time, `(n,)`; rows of one time stay together."""
    of_validation, of_test = plan.begins
    split = np.where(times >= of_validation, VALIDATION, TRAIN)
    assignment: Assignment = np.where(times >= of_test, TEST, split).astype(np.int8)
    return assignment


def first_times(
    times: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], fractions: tuple[float, float]
) -> tuple[float, float]:
    """Return the times at which validation and test begin; infinity for none.

    Args:
        times: of some rows, ascending.
        weights: for how many rows each stands.
        fractions: for validation and test, of all rows.
    """
    distinct, firsts = np.unique(times, return_index=True)
    after = np.cumsum(weights[::-1])[::-1][firsts]  # rows of each time and of all later ones
    validation, test = fractions

    def first(fraction: float, latest: int) -> int:
        wanted = fraction * after[0]
        return int(np.argmin(np.abs(after[1:latest] - wanted))) + 1

    of_test = first(test, len(distinct)) if test and len(distinct) > 1 else len(distinct)
    is_left = validation and of_test > 1
    of_validation = first(validation + test, of_test) if is_left else of_test
    bounds = np.append(distinct, np.inf)
    return float(bounds[of_validation]), float(bounds[of_test])


def assign_by_word(values: pa.Array, column: str) -> Assignment:
    """Return the split that each row's own word says.

    Args:
        values: text, `(n,)`.
        column: its name, for messages.

    Raises:
        DataError: a word says nothing.
    """
    encoded = values.dictionary_encode(null_encoding="encode")
    words = encoded.dictionary.to_pylist()
    check_words([word for word in words if word is not None], column)
    if None in words:
        raise _unknown_words(["(missing)"], column)
    of_value = [SPLIT_WORDS[word.strip().casefold()] for word in words]
    places = encoded.indices.to_numpy(zero_copy_only=False)
    return np.array(of_value, dtype=np.int8)[places] if len(places) else np.empty(0, np.int8)


def check_words(words: Sequence[str], column: str) -> None:
    """Raise a DataError if a word of a fixed split says nothing.

    Raises:
        DataError: with the words that came.
    """
    unknown = [word for word in words if word.strip().casefold() not in SPLIT_WORDS]
    if unknown:
        raise _unknown_words(unknown, column)


def _unknown_words(unknown: Sequence[str], column: str) -> DataError:
    shown = ", ".join(map(repr, sorted(unknown)[:10])) + (", ..." if len(unknown) > 10 else "")
    return DataError(
        f"the split column holds {shown}",
        where=f"column {column!r}",
        expected=f"only {', '.join(SPLIT_WORDS)}",
        mend="Rename the values, or use another data.split.kind.",
    )


def _at_least_one(fraction: Fraction, num_rows: int) -> Fraction:
    """Return the fraction, raised so far that it is one row where it would be none."""
    if fraction and num_rows > 1 and int(num_rows * fraction) < 1:
        return Fraction(1, num_rows)
    return fraction


def _starts(
    class_counts: Mapping[RunKey, Sequence[int]],
) -> dict[RunKey, tuple[int, ...]]:
    counts = np.array(list(class_counts.values()), dtype=np.int64).reshape(len(class_counts), -1)
    of_class = np.concatenate([[0], np.cumsum(counts.sum(axis=0))[:-1]])
    before = np.cumsum(counts, axis=0) - counts
    starts = (before + of_class).tolist()
    return {key: tuple(row) for key, row in zip(class_counts, starts, strict=True)}


def _divide(slots: Codes, validation: Fraction, test: Fraction) -> Assignment:
    """Return the split of slots in the line: every so many are for validation, then for test."""
    before = _share(slots, validation)
    is_validation = _share(slots + 1, validation) > before
    others = slots - before
    is_test = ~is_validation & (_share(others + 1, test) > _share(others, test))
    split = np.where(is_validation, VALIDATION, np.where(is_test, TEST, TRAIN))
    return split.astype(np.int8)


def _share(numbers: Codes, fraction: Fraction) -> Codes:
    """Return floor(number x fraction), exactly."""
    shares: Codes = numbers * fraction.numerator // fraction.denominator
    return shares


def _shuffled(seed: int, key: RunKey, num_rows: int) -> Codes:
    """Return the rows of a run in an order drawn from (seed, run), bit-stable over versions."""
    text = f"distrain split {seed} {key[0]} {key[1]}".encode()
    state = int.from_bytes(hashlib.sha256(text).digest()[:16], "little")
    draws = np.random.Philox(key=state).random_raw(num_rows)
    index_bits = np.uint64(max(num_rows - 1, 1).bit_length())
    keyed = (draws >> index_bits << index_bits) | np.arange(num_rows, dtype=np.uint64)
    keyed.sort()
    order: Codes = (keyed & ((np.uint64(1) << index_bits) - np.uint64(1))).astype(np.int64)
    return order


def _split_of_value(plan: SplitPlan, value: Any) -> int:
    content = b"\0" if value is None else b"\1" + str(value).encode()
    digest = hashlib.blake2b(content, digest_size=8, key=f"split {plan.seed}".encode()).digest()
    point = Fraction(int.from_bytes(digest, "little"), _HASH_RANGE)
    if point < plan.validation:
        return VALIDATION
    return TEST if point < plan.validation + plan.test * (1 - plan.validation) else TRAIN
