"""Splits by the order of a column, and by groups of rows that stay together."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distrain.config.data import DataSettings
from distrain.data.sample import sample_dataset
from distrain.data.sources import list_source
from distrain.data.split import first_times
from distrain.errors import DataError

ROWS = 200


def divided(
    folder: Path, when: list[Any], kind: str, **split: Any
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Return the number of each row in each split, and what was found."""
    path = folder / "a.csv"
    lines = (f"{time},{row},{row % 7}\n" for row, time in enumerate(when))
    path.write_text("when,number,y\n" + "".join(lines))
    data = DataSettings.model_validate(
        {
            "source": str(path),
            "target": "y",
            "task": "regression",
            "features": {"number": {"kind": "numeric", "scale": "none"}},
            "split": {"kind": kind, "column": "when", **split},
        }
    )
    with sample_dataset(data, list_source(data.source)) as dataset:
        rows = {}
        for name in ("train", "validation", "test"):
            part = dataset.split(name)
            rows[name] = part.slice(0, part.num_rows)["x"][:, 0].tolist() if part.num_rows else []
        found = {one["kind"]: one["message"] for one in dataset.manifest["findings"]}
        return rows, found


def test_latest_rows_are_for_test_and_those_before_for_validation(tmp_path: Path) -> None:
    hours = np.random.default_rng(0).permutation(ROWS)
    when = [f"2024-01-{1 + hour // 24:02d} {hour % 24:02d}:00:00" for hour in hours]
    rows, found = divided(tmp_path, when, "time", validation=0.1, test=0.2)
    of = {name: sorted(hours[int(row)] for row in part) for name, part in rows.items()}
    assert of == {
        "train": list(range(140)),
        "validation": list(range(140, 160)),
        "test": list(range(160, 200)),
    }
    assert found["time-split"] == (
        "validation begins at 2024-01-06 20:00:00, test begins at 2024-01-07 16:00:00"
    )


def test_rows_of_one_time_stay_together(tmp_path: Path) -> None:
    years = [2000 + row // 30 for row in range(ROWS)]
    rows, _ = divided(tmp_path, years, "time", validation=0.1, test=0.1)
    of = {name: {years[int(row)] for row in part} for name, part in rows.items()}
    assert of == {"train": set(range(2000, 2005)), "validation": {2005}, "test": {2006}}


def test_groups_stay_together(tmp_path: Path) -> None:
    groups = [f"person {row % 40}" for row in range(ROWS)]
    rows, _ = divided(tmp_path, groups, "group", validation=0.2, test=0.2)
    of = [{groups[int(row)] for row in part} for part in rows.values()]
    assert sum(map(len, of)) == 40
    assert all(of)


@pytest.mark.parametrize(
    ("fractions", "expected"),
    [
        ((0.1, 0.1), (8.0, 9.0)),
        ((0.0, 0.3), (7.0, 7.0)),
        ((0.25, 0.0), (7.0, np.inf)),
        ((0.0, 0.0), (np.inf, np.inf)),
        ((0.01, 0.01), (8.0, 9.0)),
    ],
)
def test_splits_begin_where_their_share_is_nearest(
    fractions: tuple[float, float], expected: tuple[float, float]
) -> None:
    assert first_times(np.arange(10.0), np.ones(10), fractions) == expected


def test_text_as_time_is_told_with_its_row(tmp_path: Path) -> None:
    when = [f"{1 + row % 28:02d} Mar 2024" for row in range(ROWS)]
    with pytest.raises(
        DataError, match=r"holds string, such as '01 Mar 2024' in row 1 of .*a\.csv"
    ):
        divided(tmp_path, when, "time")


def test_row_without_a_time_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the split column is empty in some rows"):
        divided(tmp_path, ["", *range(1, ROWS)], "time")
