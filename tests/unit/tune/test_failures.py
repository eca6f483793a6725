"""Which failures are of one cause, and the error that ends a search of many."""

from distrain.errors import DataError, TrainError
from distrain.tune.failures import MAX_SAME_FAILURES, cause_text, error_of_many


def test_numbers_make_no_other_cause() -> None:
    one = TrainError("the loss is 1.5e-3 at step 12")

    assert cause_text(one) == cause_text(TrainError("the loss is 7 at step 900"))


def test_addresses_make_no_other_cause() -> None:
    one = TrainError("cannot copy <Net object at 0x7f3c2ab0>")

    assert cause_text(one) == cause_text(TrainError("cannot copy <Net object at 0x7ffea1>"))


def test_other_words_and_other_kinds_are_other_causes() -> None:
    error = TrainError("no column a")

    assert cause_text(error) != cause_text(TrainError("no column b"))
    assert cause_text(error) != cause_text(DataError("no column a"))


def test_too_few_failures_end_nothing() -> None:
    assert error_of_many(TrainError("no column a"), MAX_SAME_FAILURES - 1) is None


def test_many_failures_end_a_search_with_the_last_and_what_mends_it() -> None:
    last = TrainError("no column a", where="trial 9", expected="a column", mend="Name another")

    error = error_of_many(last, MAX_SAME_FAILURES)

    assert error is not None
    assert error.message == "10 trials failed of the same cause, at last: no column a"
    assert (error.where, error.expected, error.mend) == ("trial 9", "a column", "Name another")
