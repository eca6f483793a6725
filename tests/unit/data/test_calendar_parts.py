"""Dates and times as their place in day, week and year."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from distrain.config.data import DataSettings
from distrain.data.calendar_parts import CalendarFeature
from distrain.data.columns import TextRules
from distrain.data.encoders import feature_from_json
from distrain.data.sample import sample_dataset
from distrain.data.sources import list_source
from distrain.errors import DataError

FEATURE = CalendarFeature("when", "timestamp[us]", 0.0, 0.0, 1e9)


def parts(feature: CalendarFeature, values: list[Any]) -> "np.ndarray[Any, np.dtype[np.float32]]":
    out = np.zeros((len(values), len(feature.feature_names)), dtype=np.float32)
    feature.write(pa.array(values, pa.timestamp("us")), TextRules(), out)
    return out


def test_same_hour_day_and_season_are_near() -> None:
    monday, next_monday, sunday = parts(
        FEATURE, [datetime(2024, 1, 1, 6), datetime(2024, 1, 8, 6), datetime(2024, 1, 7, 18)]
    )
    names = FEATURE.feature_names
    assert names[0] == "when"
    day, week = names.index("when: sine of day"), names.index("when: sine of week")
    assert monday[day : day + 2] == pytest.approx([1, 0], abs=1e-6)
    assert sunday[day : day + 2] == pytest.approx([-1, 0], abs=1e-6)
    assert monday[week : week + 2] == pytest.approx(next_monday[week : week + 2], abs=1e-6)
    quarter = 2 * np.pi * 0.25 / 7
    assert monday[week : week + 2] == pytest.approx([np.sin(quarter), np.cos(quarter)], abs=1e-6)


def test_missing_times_are_filled_and_marked() -> None:
    feature = CalendarFeature("when", "timestamp[us]", 60.0, 0.0, 120.0, indicator=True)
    (row,) = parts(feature, [None])
    assert row[0] == 0.5
    assert row[-1] == 1


def test_calendar_survives_its_json() -> None:
    assert feature_from_json(FEATURE.to_json()) == FEATURE


def prepared_names(folder: Path, days: list[str]) -> list[str]:
    path = folder / "a.csv"
    path.write_text("day,y\n" + "".join(f"{day},{row % 2}\n" for row, day in enumerate(days)))
    data = DataSettings.model_validate(
        {"source": str(path), "target": "y", "features": {"day": {"kind": "calendar"}}}
    )
    with sample_dataset(data, list_source(data.source)) as dataset:
        return dataset.transform.feature_names


def test_days_have_no_hour(tmp_path: Path) -> None:
    names = prepared_names(tmp_path, [f"2024-01-{1 + row % 28:02d}" for row in range(40)])
    assert names == [
        "day",
        *(f"day: {w} of {c}" for c in ("week", "year") for w in ("sine", "cosine")),
    ]


def test_what_is_no_date_is_told_with_its_row(tmp_path: Path) -> None:
    days = ["2024-01-01"] * 30 + ["tomorrow"] * 10
    with pytest.raises(DataError, match=r"column 'day', row .*: the column holds string, such as"):
        prepared_names(tmp_path, days)
