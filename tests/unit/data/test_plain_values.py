"""What tasks hand over keeps its types and its bits, and nothing is pickled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distrain.data.plain_values import PlainValue, from_plain, to_plain
from distrain.data.runs import pack_result, unpack_result


@dataclass(frozen=True)
class Part:
    name: str
    sample: npt.NDArray[np.float64]
    only: str | None = None


@dataclass(frozen=True)
class Whole:
    parts: Mapping[str, Part]
    pairs: tuple[tuple[npt.NDArray[np.uint64], float], ...]
    counts: dict[str, int] | None
    shape: tuple[int, str, bool]


def bits(number: float) -> bytes:
    return np.float64(number).tobytes()


@given(st.floats(allow_nan=False) | st.just(float("nan")))
def test_a_number_keeps_every_bit(number: float) -> None:
    assert bits(from_plain(float, to_plain(number))) == bits(number)


def test_a_value_comes_back_with_its_types() -> None:
    whole = Whole(
        {"a": Part("ä\n", np.array([0.1, np.nan, -0.0])), "b": Part("", np.empty(0), "x")},
        ((np.array([[2**64 - 1, 1]], np.uint64), float("inf")), (np.empty((0, 2), np.uint64), 1.0)),
        {"no": 2**80},
        (3, "x", True),
    )
    (key, again) = unpack_result(pack_result((4, 5), whole), Whole)

    assert key == (4, 5)
    assert list(again.parts) == ["a", "b"]
    assert again.parts["a"].sample.tobytes() == whole.parts["a"].sample.tobytes()
    assert (again.parts["a"].name, again.parts["b"].only) == ("ä\n", "x")
    assert [array.tolist() for array, _ in again.pairs] == [[[2**64 - 1, 1]], []]
    assert [array.dtype for array, _ in again.pairs] == [np.uint64, np.uint64]
    assert again.pairs[1][0].shape == (0, 2)
    assert (again.pairs[0][1], again.counts, again.shape) == (
        float("inf"),
        {"no": 2**80},
        whole.shape,
    )
    assert from_plain(dict[str, int] | None, to_plain(None)) is None


def test_arrays_lie_in_memory_of_their_own() -> None:
    content = pa.py_buffer(np.array([True]).tobytes() + np.array([1.5, 2.5]).tobytes())
    text = to_plain((np.array([True]), np.array([1.5, 2.5]))).text
    kind = tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]
    flags, numbers = from_plain(kind, PlainValue(text, content))

    assert (flags.tolist(), numbers.tolist()) == ([True], [1.5, 2.5])
    assert numbers.flags.aligned
    assert numbers.flags.owndata


@pytest.mark.parametrize("value", [{1: "a"}, np.array([object()]), {1, 2}, b"bytes"])
def test_what_has_no_plain_form_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        to_plain(value)
