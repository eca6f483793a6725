"""Looks at test rows, on a registry in memory."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from distrain.errors import TrackingError
from distrain.track import claims, looks
from distrain.track.looks import LOOK_CLAIM, Look, num_measured, take_look

ROWS = "ab" * 32


class Registry:
    """The part of an MLflow client that looks need."""

    def __init__(self, *versions: Any) -> None:
        self.tags: dict[str, str] = {}
        self.versions = list(versions)

    def get_registered_model(self, _: str) -> Any:
        return SimpleNamespace(tags=dict(self.tags))

    def set_registered_model_tag(self, _: str, key: str, value: str) -> None:
        self.tags[key] = value

    def delete_registered_model_tag(self, _: str, key: str) -> None:
        del self.tags[key]

    def search_model_versions(self, asked: str, max_results: int) -> list[Any]:
        assert asked == f"name = 'm' AND tags.`distrain.test.sha256` = '{ROWS}'"
        return self.versions[:max_results]


def version(number: int, **tags: str) -> Any:
    return SimpleNamespace(version=number, tags={"distrain.key": f"k{number}", **tags})


def take(registry: Any, key: str, holder: str = "1", rows: str = ROWS) -> int:
    return take_look(registry, "m", Look(rows, key, holder))


def test_each_look_has_a_number_of_its_own_before_its_version_is_there() -> None:
    registry = Registry(version(1))
    assert [take(registry, key) for key in ("a", "b", "c")] == [2, 3, 4]
    kept = [f"distrain.look.abababababababab.{number}" for number in (2, 3, 4)]
    assert list(registry.tags) == kept


def test_a_tag_that_somebody_made_by_hand_is_no_look() -> None:
    registry = Registry(version(1))
    registry.tags["distrain.look.abababababababab.note"] = "mine"
    assert take(registry, "a") == 2


def test_the_same_look_has_the_same_number_and_another_holder_makes_another() -> None:
    registry = Registry(version(1))
    looked = [("a", "1"), ("b", "1"), ("a", "1"), ("a", "2"), ("a", "2")]
    assert [take(registry, *look) for look in looked] == [2, 3, 2, 4, 4]


def test_a_look_that_was_cut_off_before_its_version_was_made_counts() -> None:
    registry = Registry(version(1))
    take(registry, "killed")
    registry.versions.append(version(2))
    assert take(registry, "next") == 3


def test_versions_that_were_measured_without_a_look_count() -> None:
    registry = Registry(version(1), version(2), version(3))
    assert [take(registry, key) for key in ("a", "b")] == [4, 5]


def test_looks_at_other_rows_are_counted_for_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "num_measured", lambda *_: 2)
    registry = Registry()
    assert [take(registry, "a"), take(registry, "b")] == [2, 3]
    assert take(registry, "c", rows="cd" * 32) == 2


def test_of_many_who_look_at_once_no_two_have_the_same_number() -> None:
    registry = Registry(version(1))
    barrier = threading.Barrier(4)

    def look(key: str) -> int:
        barrier.wait(5)
        return take(registry, key)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(look, "abcd")) == [2, 3, 4, 5]


def test_who_finds_another_at_it_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(version(1))
    registry.tags[LOOK_CLAIM] = claims.claim_text()  # smaller than any other, so it goes first
    waited: list[float] = []

    def finish(pause_s: float) -> None:
        waited.append(pause_s)
        registry.tags.pop(LOOK_CLAIM)
        registry.tags["distrain.look.abababababababab.2"] = "{}"

    monkeypatch.setattr(looks.time, "sleep", finish)
    assert take(registry, "b") == 3
    assert len(waited) == 1


def test_who_never_gets_a_turn_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry()
    registry.tags[LOOK_CLAIM] = claims.claim_text()
    monkeypatch.setattr(looks, "CLAIM_S", 0.05)
    monkeypatch.setattr(looks, "PAUSE_S", 0.01)
    with pytest.raises(TrackingError, match=r"registered model m: other versions .* Try again"):
        take(registry, "a")
    assert list(registry.tags) == [LOOK_CLAIM]


def test_a_promotion_under_way_does_not_stop_a_look() -> None:
    registry = Registry(version(1))
    registry.tags[claims.CLAIM] = claims.claim_text()
    assert take(registry, "a") == 2


@pytest.mark.parametrize(
    ("key", "holder", "expected"),
    [
        ("new", "1", 4),  # versions 1 and 2, version 7 that 2 was compared with, and this one
        ("k2", "1", 3),  # version 2 once more
        ("new", "9", 5),  # a holder that was made on other rows
    ],
)
def test_versions_are_counted_that_were_measured_on_the_rows(
    key: str, holder: str, expected: int
) -> None:
    found = [
        version(1, **{"distrain.gate.holder": "none"}),
        version(2, **{"distrain.gate.holder": "7"}),
    ]
    registry: Any = Registry(*found)
    assert num_measured(registry, "m", Look(ROWS, key, holder)) == expected
