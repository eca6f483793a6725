"""What an elastic run asks a growing cluster for."""

import time

import pytest

from distrain.train import autoscaling
from distrain.train.autoscaling import asking_for_room
from distrain.train.placement import Placement

ELASTIC = Placement(4, 2.0, 1.0, least=1)
BUNDLE = {"CPU": 2.0, "GPU": 1.0}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Who asked for room for how many workers."""
    requests: list[tuple[str, int]] = []

    def send(requester: str, bundles: list[dict[str, float]]) -> None:
        assert bundles == [BUNDLE] * len(bundles)
        requests.append((requester, len(bundles)))

    monkeypatch.setattr(autoscaling, "_send", send)
    return requests


def test_a_request_is_taken_back_though_the_run_fails(sent: list[tuple[str, int]]) -> None:
    def fail() -> None:
        with asking_for_room(ELASTIC, "r1") as ask:
            ask(3)
            raise ValueError("lost")

    with pytest.raises(ValueError, match="lost"):
        fail()

    assert sent == [("distrain-r1", 3), ("distrain-r1", 0)]


def test_a_request_is_repeated_before_it_is_forgotten(
    sent: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoscaling, "ASK_AGAIN_S", 0.01)
    with asking_for_room(ELASTIC, "r1") as ask:
        ask(2)
        deadline = time.monotonic() + 10
        while len(sent) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)

    assert {count for _, count in sent[1:-1]} == {2}


def test_a_run_of_a_fixed_size_asks_for_nothing(sent: list[tuple[str, int]]) -> None:
    with asking_for_room(Placement(4, 2.0, 1.0), "r1") as ask:
        ask(4)

    assert sent == []


def test_a_ray_that_cannot_be_asked_is_told_once_and_harms_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(autoscaling, "_COORDINATOR", "ray.moved")
    with asking_for_room(ELASTIC, "r1") as ask:
        ask(2)

    assert [record.getMessage() for record in caplog.records] == [
        "the cluster cannot be asked for more machines: No module named 'ray.moved'"
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
def test_ray_passes_a_request_on_to_its_autoscaler() -> None:
    from ray._private.ray_constants import AUTOSCALER_RESOURCE_REQUEST_CHANNEL
    from ray.experimental.internal_kv import _internal_kv_get

    def asked(count: int) -> bool:
        return (_internal_kv_get(AUTOSCALER_RESOURCE_REQUEST_CHANNEL) or b"").count(
            b'"GPU"'
        ) == count

    def wait_for(count: int) -> bool:
        deadline = time.monotonic() + 20
        while not asked(count) and time.monotonic() < deadline:
            time.sleep(0.1)
        return asked(count)

    with asking_for_room(ELASTIC, "r1") as ask:
        ask(3)
        assert wait_for(3)
    assert wait_for(0)
