"""Data that a run was started with, against the data of now."""

import pytest

from distrain.data.same import KnownData
from distrain.errors import DataError

BEFORE = [{"uri": "/a.csv", "sha256": "a" * 64}, {"uri": "/b.csv", "sha256": "b" * 64}]
KNOWN = KnownData("d" * 64, BEFORE)


def test_the_same_digest_is_the_same_data_wherever_it_lies() -> None:
    KNOWN.check("d" * 64, [{"uri": "/moved/a.csv", "sha256": "x" * 64}])


def test_other_data_is_refused_with_both_digests_and_the_files_that_differ() -> None:
    after = [{"uri": "/a.csv", "sha256": "9" * 64}, {"uri": "/c.csv", "sha256": "b" * 64}]

    with pytest.raises(DataError) as raised:
        KNOWN.check("e" * 64, after)

    told = str(raised.value)
    assert "its digest is eeeeeeeeeeee..., it was dddddddddddd..." in told
    assert "/a.csv has changed, /c.csv is new, /b.csv is gone" in told


def test_the_same_files_prepared_otherwise_are_told_as_such() -> None:
    with pytest.raises(DataError, match="each file is the same"):
        KNOWN.check("e" * 64, BEFORE)


def test_of_many_files_a_few_are_named() -> None:
    with pytest.raises(DataError, match=r"and 5 more\)"):
        KnownData("d" * 64, []).check(
            "e" * 64, [{"uri": f"/{number}.csv", "sha256": ""} for number in range(10)]
        )
