import pytest

from distrain.errors import DataError, DistrainError, TrainError
from distrain.track.outcome import failure_tags, recorded_failure_tags


@pytest.mark.parametrize(
    ("error", "more"),
    [
        (DataError("no such column", where="a.csv", expected="one", mend="Name it"), {}),
        (TrainError("the loss is nan", cause="user"), {"class": "TrainError", "cause": "user"}),
        (
            TrainError("gone", where="rank 1", cause="cluster", error_class="node_lost"),
            {"class": "node_lost", "cause": "cluster"},
        ),
    ],
)
def test_an_error_that_was_written_down_has_the_tags_that_it_had(
    error: DistrainError, more: dict[str, str]
) -> None:
    recorded = {**error.to_json(), "class": type(error).__name__, "cause": None, **more}
    assert recorded_failure_tags(recorded) == failure_tags(error)


def test_an_error_of_which_little_was_written_down_still_has_its_kind() -> None:
    tags = recorded_failure_tags({"kind": "train", "message": "it failed", "class": None})
    assert tags == {
        "distrain.error": "it failed.",
        "distrain.error.kind": "train",
        "distrain.error.class": "train",
    }
