"""Domains: positions in [0, 1) to values and back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distrain.config.domains import domain_of, is_fulfilled, is_same, key_of, values_of
from distrain.config.tune import ParameterSettings

DOMAINS = {
    "choice": {"choice": ["a", None, True, 1, 1.5, [1], [1, 2], {"name": "sgd", "lr": 0.1}]},
    "grid": {"grid": [1, 2, 3]},
    "uniform": {"uniform": [-0.5, 0.5]},
    "loguniform": {"loguniform": [1e-6, 1e3]},
    "quniform": {"quniform": [0.1, 0.7, 0.1]},
    "whole quniform": {"quniform": [64, 512, 64]},
    "randint": {"randint": [-3, 9]},
    "any seed": {"randint": [0, 2**63]},
    "lograndint": {"lograndint": [1, 1000]},
    "lograndint from 8": {"lograndint": [8, 64]},
    "normal": {"normal": [3, 0.5]},
}


def domain(name):
    return domain_of(ParameterSettings.model_validate(DOMAINS[name]))


ENDLESS = ("uniform", "loguniform", "normal")


@pytest.mark.parametrize("name", [name for name in DOMAINS if name not in (*ENDLESS, "any seed")])
@given(position=st.floats(0, 1))
def test_each_value_leads_back_to_a_position_of_its_own(name, position):
    value = domain(name).value_at(position)

    back = domain(name).position_of(value)

    assert 0 < back < 1
    assert is_same(domain(name).value_at(back), value)


@pytest.mark.parametrize("name", [*ENDLESS, "any seed"])
@given(position=st.floats(0, 1 - 1e-9))
def test_a_number_leads_back_to_its_position(name, position):
    back = domain(name).position_of(domain(name).value_at(position))

    assert 0 <= back < 1
    assert back == pytest.approx(position, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("grid", [1, 2, 3]),
        ("quniform", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
        ("whole quniform", [64, 128, 192, 256, 320, 384, 448, 512]),
        ("randint", list(range(-3, 9))),
        ("lograndint", list(range(1, 1000))),
    ],
)
def test_a_domain_with_an_end_can_be_gone_through(name, values):
    found = [*values_of(domain(name))]

    assert [(type(value), value) for value in found] == [(type(value), value) for value in values]
    assert domain(name).num_values == len(values)


@pytest.mark.parametrize(
    ("name", "position", "value"),
    [
        ("uniform", 0.25, -0.25),
        ("loguniform", 0.0, 1e-6),
        ("lograndint", 0.5, 31),  # the root of 1,000
        ("lograndint from 8", 0.0, 8),
        ("lograndint from 8", 1 - 2**-53, 63),
        ("normal", 0.5, 3.0),
        ("choice", 0.99, {"name": "sgd", "lr": 0.1}),
    ],
)
def test_a_value_lies_where_it_should(name, position, value):
    assert domain(name).value_at(position) == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("choice", False),
        ("choice", "b"),
        ("uniform", 0.6),
        ("uniform", "0.1"),
        ("uniform", True),
        ("uniform", math.nan),
        ("loguniform", 0),
        ("quniform", 0.15),
        ("quniform", 0.8),
        ("randint", 9),
        ("randint", 1.5),
        ("lograndint", 1000),
        ("lograndint", None),
        ("normal", math.inf),
    ],
)
def test_what_is_outside_has_no_position(name, value):
    assert domain(name).position_of(value) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        ([1, 2], [1.0, 2], True),
        ([1], [True], False),
        ({"a": 1}, {"a": 1.0}, True),
        (None, 0, False),
        ("1", 1, False),
    ],
)
def test_values_are_compared_as_a_file_tells_them_apart(one, other, same):
    assert is_same(one, other) is same
    assert (key_of(one) == key_of(other)) is same


@pytest.mark.parametrize(
    ("wanted", "value", "met"),
    [("mlp", "mlp", True), (["mlp", "cnn"], "cnn", True), ([[1], [2]], [2], True), (1, 2, False)],
)
def test_a_condition_asks_for_a_value_or_one_of_several(wanted, value, met):
    assert is_fulfilled(wanted, value) is met
