from types import SimpleNamespace
from typing import Any

import pytest

from distrain.track.experiment_page import lay_out
from distrain.track.saved_views import VIEW_TAG, view_tags
from tests.unit.track.test_layout import LAYOUT

FACTS = {"key": "adult/new", "search": LAYOUT.to_json()}


class FakeExperiment:
    """A client, and the tags of its one experiment."""

    def __init__(self, error: Exception | None = None) -> None:
        self.tags: dict[str, str] = {}
        self.error = error

    def set_experiment_tag(self, _: str, name: str, value: str) -> None:
        """Keep a tag, or fail."""
        if self.error is not None:
            raise self.error
        self.tags[name] = value

    def delete_experiment_tag(self, _: str, name: str) -> None:
        """Let a tag go, or fail."""
        if self.error is not None:
            raise self.error
        del self.tags[name]

    def get_experiment(self, _: str) -> Any:
        """Return the experiment."""
        return SimpleNamespace(tags=dict(self.tags))


def failure(code: str) -> Exception:
    from mlflow.exceptions import MlflowException
    from mlflow.protos import databricks_pb2

    return MlflowException("no", getattr(databricks_pb2, code))


def test_a_search_says_what_counts_and_leaves_its_views() -> None:
    client: Any = FakeExperiment()

    for _ in range(2):  # an answer was lost
        lay_out(client, "7", FACTS, 1000)

    assert client.tags["mlflow.experiment.primaryMetric.name"] == "validation/accuracy"
    assert sum(name.startswith(VIEW_TAG) for name in client.tags) == 2


def test_a_run_that_is_no_search_writes_nothing() -> None:
    client: Any = FakeExperiment()

    lay_out(client, "7", {"key": "adult/run"}, 1000)

    assert client.tags == {}


def test_views_of_the_oldest_search_go_when_another_begins() -> None:
    client: Any = FakeExperiment()
    for number in range(10):
        client.tags |= view_tags(f"adult/{number}", LAYOUT, number)

    lay_out(client, "7", FACTS, 1000)

    left = {name for name in client.tags if name.startswith(VIEW_TAG)}
    assert len(left) == 20
    assert not left & set(view_tags("adult/0", LAYOUT, 0))


def test_a_store_that_refuses_a_view_leaves_the_page_as_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client: Any = FakeExperiment(failure("INVALID_PARAMETER_VALUE"))

    lay_out(client, "7", FACTS, 1000)

    assert "is left as it is" in caplog.text


def test_a_store_that_is_away_is_asked_again() -> None:
    client: Any = FakeExperiment(failure("TEMPORARILY_UNAVAILABLE"))

    with pytest.raises(Exception, match="no"):
        lay_out(client, "7", FACTS, 1000)
