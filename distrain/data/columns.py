"""One raw column as numbers or as text, whatever type its reader gave it.

A column's type is fixed when a dataset is prepared (`int64`, `double`, `bool`, `string`,
`date32[day]`, `timestamp[us]`, `time64[us]`, `image`). What comes later, from a file or a data
frame, may have another: whole numbers where there were fractions, text with blanks around it, a
word that means 'missing'. All comparisons and sums go through here, so that the same value always
counts as the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from distrain.errors import DataError

# What pandas and Arrow take for missing; the empty field is missing in any case.
USUAL_MISSING_WORDS: Final = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
_TRUE_WORDS: Final = ("true", "t", "yes", "y", "1", "1.0", "on")
_FALSE_WORDS: Final = ("false", "f", "no", "n", "0", "0.0", "off")
SECONDS_PER_DAY: Final = 86_400
NUMBER_TYPES: Final = ("int64", "double")
TIME_TYPES: Final = ("date32[day]", "timestamp[us]", "time64[us]")

Floats = npt.NDArray[np.float64]


@final
@dataclass(frozen=True)
class TextRules:
    """How text is read: `strip` takes white space off, `missing` are the words for no value."""

    strip: bool = True
    missing: tuple[str, ...] = USUAL_MISSING_WORDS

    def to_json(self) -> dict[str, Any]:
        """Return the rules as plain JSON."""
        return {"strip": self.strip, "missing": list(self.missing)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TextRules":
        """Return the rules that `to_json` gave."""
        return cls(bool(data["strip"]), tuple(data["missing"]))


def arrow_type(name: str) -> pa.DataType | None:
    """Return Arrow's type for a column type's name, None for `image` and `null`."""
    return {
        "int64": pa.int64(),
        "double": pa.float64(),
        "bool": pa.bool_(),
        "string": pa.string(),
        "date32[day]": pa.date32(),
        "timestamp[us]": pa.timestamp("us"),
        "time64[us]": pa.time64("us"),
    }.get(name)


def clean_text(values: pa.Array, rules: TextRules) -> pa.Array:
    """Return text without surrounding white space, words for 'missing' as nulls."""
    text = values.cast(pa.string()) if values.type != pa.string() else values
    if rules.strip:
        text = pc.utf8_trim_whitespace(text)
    is_missing = pc.is_in(text, value_set=pa.array(rules.missing, pa.string()), skip_nulls=True)
    return pc.if_else(is_missing, pa.scalar(None, pa.string()), text)


def as_float64(
    column: pa.Array | pa.ChunkedArray, name: str, type_: str, rules: TextRules
) -> Floats:
    """Return a column as numbers, NaN where nothing is.

    Dates and times count in seconds since 1970, times of day since midnight.

    Args:
        column: the values, shape `(n,)`.
        name: the column's name, for messages.
        type_: the column's type when the dataset was prepared.
        rules: how text is read.

    Returns:
        float64 of shape `(n,)`.

    Raises:
        DataError: a value is no number.
    """
    values = plain(column)
    if is_text(values.type):
        return _parse_numbers(clean_text(values, rules), name, type_)
    kind = values.type
    if pa.types.is_date(kind):
        days = values.cast(pa.date32()).cast(pa.int32())
        return _to_numpy(days) * SECONDS_PER_DAY
    if pa.types.is_timestamp(kind):
        return _to_numpy(values.cast(pa.timestamp("us"), safe=False).cast(pa.int64())) / 1e6
    if pa.types.is_time(kind):
        return _to_numpy(values.cast(pa.time64("us"), safe=False).cast(pa.int64())) / 1e6
    if pa.types.is_duration(kind):
        return _to_numpy(values.cast(pa.duration("us"), safe=False).cast(pa.int64())) / 1e6
    if pa.types.is_null(kind):
        return np.full(len(values), np.nan)
    if is_number(kind) or pa.types.is_boolean(kind):
        return _to_numpy(values)
    raise _no_number(name, f"values of type {kind}", type_)


def as_text(
    column: pa.Array | pa.ChunkedArray, name: str, type_: str, rules: TextRules
) -> pa.Array:
    """Return a column as text with one spelling for each value, null where nothing is.

    Whole numbers are written without a point, truth values as `true` and `false`.

    Args:
        column: the values, shape `(n,)`.
        name: the column's name, for messages.
        type_: the column's type when the dataset was prepared.
        rules: how text is read.
    """
    values = plain(column)
    if is_text(values.type):
        text = clean_text(values, rules)
        return text if type_ == "string" else _respelled(text, type_)
    if pa.types.is_boolean(values.type) or pa.types.is_temporal(values.type):
        return values.cast(pa.string())
    if pa.types.is_integer(values.type):
        return _bool_text(_to_numpy(values)) if type_ == "bool" else values.cast(pa.string())
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), pa.string())
    return _number_text(as_float64(values, name, type_, rules), type_)


def plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column as one array without dictionary or extension type."""
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(values, pa.ChunkedArray):  # combine_chunks keeps what would overflow 32 bits
        values = pa.concat_arrays(values.chunks)
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values


def is_text(kind: pa.DataType) -> bool:
    """Return whether an Arrow type is text."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def is_number(kind: pa.DataType) -> bool:
    """Return whether an Arrow type is a whole number, a floating-point or a decimal one."""
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def numbers_in(text: pa.Array) -> Floats | None:
    """Return cleaned text as numbers if every value that is there is one, else None."""
    try:
        return _to_numpy(text.cast(pa.float64()))
    except pa.ArrowInvalid:
        return None


def _to_numpy(values: pa.Array) -> Floats:
    numbers: Floats = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return numbers


def _parse_numbers(text: pa.Array, name: str, type_: str) -> Floats:
    numbers = numbers_in(text)
    if numbers is not None:
        return numbers
    if type_ == "bool":
        return _parse_truth(text, name)
    if type_ in TIME_TYPES:
        try:
            times = text.cast(arrow_type(type_))
        except pa.ArrowInvalid as fault:
            raise _no_number(name, str(fault), type_) from fault
        return as_float64(times, name, type_, TextRules())
    for value in text.drop_null().unique().to_pylist():
        if numbers_in(pa.array([value])) is None:
            raise _no_number(name, repr(value), type_)
    raise AssertionError("a cast of all values failed, but none of them alone does")


def _parse_truth(text: pa.Array, name: str) -> Floats:
    folded = pc.utf8_lower(text)
    truth = pc.index_in(folded, value_set=pa.array([*_FALSE_WORDS, *_TRUE_WORDS]))
    unknown = pc.and_(pc.is_null(truth), pc.is_valid(text))
    if pc.any(unknown).as_py():
        raise _no_number(name, repr(text.filter(unknown)[0].as_py()), "bool")
    return np.where(
        np.isnan(codes := _to_numpy(truth)), np.nan, (codes >= len(_FALSE_WORDS)).astype(np.float64)
    )


def _respelled(text: pa.Array, type_: str) -> pa.Array:
    """Return text in the spelling of `type_` where it can be read so, else as it is."""
    if type_ == "bool":
        return pc.utf8_lower(text)
    if type_ in NUMBER_TYPES:
        numbers = numbers_in(text)
        return text if numbers is None else _number_text(numbers, type_)
    try:
        return text.cast(arrow_type(type_)).cast(pa.string())
    except pa.ArrowInvalid:
        return text


def _number_text(numbers: Floats, type_: str) -> pa.Array:
    if type_ == "bool":
        return _bool_text(numbers)
    present = pa.array(numbers, from_pandas=True)
    whole = np.all(np.isnan(numbers) | ((numbers == np.trunc(numbers)) & (np.abs(numbers) < 2**53)))
    return present.cast(pa.int64()).cast(pa.string()) if whole else present.cast(pa.string())


def _bool_text(numbers: Floats) -> pa.Array:
    return pa.array(numbers != 0, mask=np.isnan(numbers)).cast(pa.string())


def _no_number(name: str, what: str, type_: str) -> DataError:
    meaning = {"bool": "a truth value (true or false)"}.get(
        type_, "a date or time" if type_ in TIME_TYPES else "a number"
    )
    return DataError(
        f"{what} is not {meaning}",
        where=f"column {name!r}",
        expected=f"{meaning}, as in the data that the features were fitted on",
        mend="Correct the value; or, before training, name the word under data.read.na_values if "
        "it means 'missing', or make the column categorical under data.features.",
    )


def type_name(kind: pa.DataType) -> str | None:
    """Return the column type that stands for an Arrow type, None where there is none."""
    tests = (
        (pa.types.is_null, "null"),
        (pa.types.is_boolean, "bool"),
        (pa.types.is_integer, "int64"),
        (is_number, "double"),
        (is_text, "string"),
        (pa.types.is_date, "date32[day]"),
        (pa.types.is_timestamp, "timestamp[us]"),
        (pa.types.is_time, "time64[us]"),
        (_is_image, "image"),
    )
    return next((name for test, name in tests if test(kind)), None)


def canonical(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column in the Arrow type of its column type, as it is where that has none."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_uint64(values.type):
        return values.cast(pa.float64(), safe=False)
    if pa.types.is_timestamp(values.type):
        # A time zone only says how an instant is shown; the seconds since 1970 are the same.
        return values.cast(pa.timestamp("us", values.type.tz), safe=False).cast(pa.timestamp("us"))
    kind = arrow_type(type_name(values.type) or "")
    return values if kind is None or values.type == kind else values.cast(kind, safe=False)


def common_type(first: str, second: str) -> str:
    """Return the column type that holds the values of both; text holds everything."""
    if first == second or second == "null":
        return first
    if first == "null":
        return second
    if {first, second} == {"int64", "double"}:
        return "double"
    if {first, second} == {"date32[day]", "timestamp[us]"}:
        return "timestamp[us]"
    return "string"


def _is_image(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind) and pa.types.is_uint8(kind.value_type))
