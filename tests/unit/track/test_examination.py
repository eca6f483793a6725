"""What is told of a registry that takes a version on trial, or does not."""

from typing import Any

import pytest

from distrain.track import examination
from distrain.track.tracking_server import TrackingServer


class Registry:
    """Refuses what it is told to, and knows what it holds."""

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.models: set[str] = set()

    def create_registered_model(self, name: str) -> None:
        self.models.add(name)

    def create_model_version(self, name: str, _: str) -> None:
        assert name in self.models
        if self.refuses == "version":
            raise RuntimeError("no room")

    def delete_registered_model(self, name: str) -> None:
        if self.refuses == "removal":
            raise RuntimeError("not allowed")
        self.models.remove(name)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> TrackingServer:
    monkeypatch.setattr(examination, "check_reachable", lambda _: None)
    return TrackingServer("postgresql://127.0.0.1/none", None, "track.uri")


def told(server: TrackingServer, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(examination, "connect", lambda _: registry)
    return examination.examine_tracking(server).registry_error


def test_what_was_tried_is_removed_again(
    server: TrackingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry()

    assert told(server, registry, monkeypatch) is None
    assert registry.models == set()


def test_a_version_that_is_refused_is_told_and_leaves_nothing(
    server: TrackingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(refuses="version")

    error = told(server, registry, monkeypatch)

    assert error.message == "no model version can be registered (no room)"
    assert registry.models == set()


def test_a_model_that_cannot_be_removed_again_is_named(
    server: TrackingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(refuses="removal")

    error = told(server, registry, monkeypatch)

    [left] = registry.models
    assert error.message.startswith("versions are registered, but")
    assert repr(left) in error.message
    assert "not allowed" in error.message
