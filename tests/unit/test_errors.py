import pickle

import pytest

from distrain import errors
from distrain.errors import ConfigError, DistrainError, did_you_mean, nearest

ALL_ERRORS = [
    error for error in vars(errors).values() if isinstance(error, type) and error.__mro__[1:2]
]
CHILDREN = [error for error in ALL_ERRORS if issubclass(error, DistrainError)][1:]


def test_a_message_has_its_four_parts_in_order():
    error = ConfigError("x is 3", where="run.yaml:2", expected="less", mend="Use 2")

    assert str(error) == "run.yaml:2: x is 3. Expected less. Use 2."


def test_parts_that_are_not_given_leave_nothing_behind():
    assert str(ConfigError("x is 3")) == "x is 3."


@pytest.mark.parametrize("text", ["ends here.", "really!", "Did you mean 'a'?"])
def test_a_sentence_that_has_its_end_gets_no_second(text):
    assert str(ConfigError(text)) == text


@pytest.mark.parametrize("error", CHILDREN)
def test_an_error_survives_the_way_between_processes(error):
    sent = error("told", where="here", expected="this", mend="Do that")

    received = pickle.loads(pickle.dumps(sent))

    assert type(received) is error
    assert vars(received) == vars(sent)
    assert str(received) == str(sent)


def test_exit_codes_are_those_of_the_contract():
    codes = {error.kind: error.exit_code for error in CHILDREN}

    assert codes == {
        "config": 2,
        "data": 2,
        "model": 2,
        "train": 1,
        "checkpoint": 1,
        "tracking": 4,
        "cluster": 4,
        "storage": 4,
    }


@pytest.mark.parametrize(
    ("name", "close"),
    [("incme", "income"), ("INCOME", "income"), ("Age", "age"), ("zzz", None), ("", None)],
)
def test_nearest_forgives_case_and_small_slips_only(name, close):
    assert nearest(name, ["age", "income"]) == close


def test_the_valid_names_are_listed_in_order():
    told = did_you_mean("agee", ["income", "age"], listed="Columns")

    assert told == "Did you mean 'age'? Columns: age, income."


def test_a_long_list_of_valid_names_is_cut():
    told = did_you_mean("zzz", [f"column_{index:02}" for index in range(40)])

    assert told.startswith("Valid names: column_00, ")
    assert told.endswith("column_29 and 10 more.")


def test_the_json_form_keeps_the_parts_apart():
    error = ConfigError("x is 3", where="run.yaml:2", expected="less", mend="Use 2")

    assert error.to_json() == {
        "kind": "config",
        "message": "x is 3",
        "where": "run.yaml:2",
        "expected": "less",
        "mend": "Use 2",
    }
