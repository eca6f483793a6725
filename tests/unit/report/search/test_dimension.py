"""Parameters as axes."""

from typing import Any

import pytest

from distrain.config.tune import ParameterSettings
from distrain.report.search.dimension import dimension_of


def test_a_log_domain_has_a_log_axis() -> None:
    axis = dimension_of("train.optimizer.lr", ParameterSettings(loguniform=(1e-4, 1e-2)), [])

    assert axis.place(1e-3) == pytest.approx(0.5)
    assert [text for _, text in axis.ticks()] == ["1e-4", "0.001", "0.01"]


def test_an_axis_takes_in_what_was_tried_outside_its_domain() -> None:
    entry = ParameterSettings(uniform=(0.1, 0.5))

    axis = dimension_of("model.dropout", entry, [0.2, 0.0])

    assert axis.place(0.0) == 0.0
    assert axis.place(0.5) == 1.0


def test_listed_values_share_the_axis_and_one_as_written_is_added() -> None:
    entry = ParameterSettings(choice=[[64], [64, 64]])

    axis = dimension_of("model.hidden", entry, [[32], [64]])

    places = [axis.place(value) for value in ([64], [64, 64], [32])]
    assert places == pytest.approx([1 / 6, 1 / 2, 5 / 6])
    assert axis.labels == ("[64]", "[64, 64]", "[32]")


@pytest.mark.parametrize("value", ["relu", None, True])
def test_what_is_no_number_makes_an_axis_of_listed_values(value: Any) -> None:
    axis = dimension_of("model.norm", ParameterSettings(uniform=(0, 1)), [0.5, value])

    assert axis.scale is None
    assert axis.place(value) == pytest.approx(0.75)


def test_what_does_not_vary_in_a_trial_has_no_place() -> None:
    axis = dimension_of("model.dropout", ParameterSettings(uniform=(0, 1)), [])

    assert axis.place_in({"train.optimizer.lr": 0.1}) is None
    assert axis.name == "dropout"


def test_whole_numbers_end_below_their_upper_bound() -> None:
    axis = dimension_of("model.depth", ParameterSettings(randint=(1, 5)), [])

    assert axis.place(4) == 1.0
