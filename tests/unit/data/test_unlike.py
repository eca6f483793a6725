"""What rows to predict have that training had not."""

from dataclasses import replace

import pyarrow as pa

from distrain.data.calendar_parts import CalendarFeature
from distrain.data.unlike import Unlike
from tests.example_models import people_transform

ROWS = pa.table(
    {
        "age": ["30", "?", "40", "50"],  # training had missing ones: nothing to tell
        "hours": ["40.0", "", "20.5", "inf"],
        "work": ["Private", "Never", "?", "Retired"],
    }
)


def test_unknown_categories_and_values_missing_for_the_first_time_are_told() -> None:
    transform = people_transform()
    total = Unlike()
    for rows in (ROWS, ROWS.slice(0, 2)):
        total.add_noted(Unlike.of(transform, rows).noted_on(rows))

    found = {(finding.kind, finding.column): finding for finding in total.findings(transform, 6)}

    assert list(found) == [("missing-values", "hours"), ("unknown-category", "work")]
    assert found["missing-values", "hours"].message == (
        "3 of 6 values are missing, in training none; filled with 40"
    )
    assert found["unknown-category", "work"].message == (
        "3 of 6 values are none of those that the model knows, the first 'Never'; "
        "they count as 'other'"
    )


def test_rows_like_those_of_training_give_nothing() -> None:
    rows = pa.table({"age": [None], "hours": [1.0], "work": ["Private"]})

    assert not list(Unlike.of(people_transform(), rows).findings(people_transform(), 1))


def test_times_missing_for_the_first_time_are_told_without_their_seconds() -> None:
    day = CalendarFeature("day", "date32[day]", fill=0.0, center=0.0, spread=1.0)
    transform = replace(people_transform(), features=(day,))

    (found,) = Unlike.of(transform, pa.table({"day": [None, "2024-01-31"]})).findings(transform, 2)

    assert found.message == "1 of 2 values are missing, in training none; filled in as in training"
