"""What ends a stream of training rows, as the worker that waits for them is told of it."""

from typing import Any

import pytest
from ray.exceptions import ActorDiedError, RayTaskError

from distrain.data.stream_faults import StreamFault
from distrain.errors import DataError
from distrain.train.faults import cause_of


def raised(error: BaseException) -> BaseException:
    """Return what a worker raises of an exception in a task."""
    try:
        StreamFault.from_json(StreamFault.of(error).to_json()).throw()
    except Exception as told:
        return told


def of_storage() -> DataError:
    error = DataError("reading failed", where="a.csv", expected="a file", mend="Look.")
    error.__cause__ = OSError(5, "Input/output error")
    return error


@pytest.mark.parametrize(
    ("error", "kind", "cause"),
    [
        (DataError("its rows are others", where="a.csv"), DataError, "user"),
        (of_storage(), DataError, "cluster"),
        (OSError(5, "Input/output error"), ConnectionError, "cluster"),
        (ActorDiedError(), ConnectionError, "cluster"),
        (KeyError("units"), RuntimeError, "user"),
    ],
)
def test_a_fault_stays_whose_it_is(error: Exception, kind: type, cause: str) -> None:
    told = raised(error)
    assert type(told) is kind
    assert cause_of(told) == cause


def test_the_parts_of_a_fault_arrive() -> None:
    told = raised(of_storage())
    assert isinstance(told, DataError)
    assert (told.message, told.where, told.mend) == ("reading failed", "a.csv", "Look.")


def test_what_ray_adds_to_a_fault_is_not_told() -> None:
    text = "\x1b[36mray::make_shards()\x1b[39m (pid=31428, ip=192.0.2.2)"
    lost: Any = RayTaskError
    told = raised(lost("make_shards", text, ImportError("no module"), pid=31428))
    assert str(told) == "the stream of training rows was lost (ImportError)"


def test_a_defect_comes_with_its_traceback() -> None:
    told = raised(KeyError("units"))
    assert str(told) == "training rows could not be made of data.source: KeyError: 'units'"
    assert "Traceback" in told.__notes__[0] or "KeyError" in told.__notes__[0]
