"""Moves of an alias, on a registry in memory."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from distrain.track import aliases
from distrain.track.aliases import (
    AliasBusyError,
    Move,
    move_alias,
    move_to_undo,
    moves_of,
    note_verdict,
)


class Registry:
    """The part of an MLflow client that aliases need; `after` is called after each request."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}
        self.aliases: dict[str, str] = {}
        self.after: Callable[[str], object] = str

    def get_registered_model(self, _: str) -> Any:
        found = SimpleNamespace(tags=dict(self.tags), aliases=dict(self.aliases))
        self.after("get")
        return found

    def set_registered_model_tag(self, _: str, key: str, value: str) -> None:
        self.tags[key] = value
        self.after("tag")

    def delete_registered_model_tag(self, _: str, key: str) -> None:
        del self.tags[key]

    def set_registered_model_alias(self, _: str, alias: str, version: str) -> None:
        self.aliases[alias] = version

    def delete_registered_model_alias(self, _: str, alias: str) -> None:
        del self.aliases[alias]


@pytest.fixture
def registry() -> Any:
    return Registry()


def to(version: str | None, from_: str | None, **more: Any) -> Move:
    return Move("champion", from_, version, who="ann", why="better", **more)


def test_a_move_is_kept_with_who_when_and_why(registry: Any) -> None:
    assert move_alias(registry, "m", to("1", None)) is None
    assert move_alias(registry, "m", to("2", "1", evidence="m/run2")) is None
    assert registry.aliases == {"champion": "2"}
    assert sorted(registry.tags) == ["distrain.promotion.1", "distrain.promotion.2"]
    kept = json.loads(registry.tags["distrain.promotion.2"])
    assert kept.pop("when").endswith("+00:00")
    assert kept == {
        "alias": "champion",
        "from": "1",
        "to": "2",
        "who": "ann",
        "why": "better",
        "evidence": "m/run2",
        "undoes": None,
    }


def test_a_move_from_another_holder_than_there_is_is_refused(registry: Any) -> None:
    move_alias(registry, "m", to("2", None))
    refusal = move_alias(registry, "m", to("3", "1"))
    assert refusal == "version 2 has champion now, not version 1"
    assert registry.aliases == {"champion": "2"}
    assert len(moves_of(registry, "m")) == 1


def test_a_repeated_move_is_kept_once(registry: Any) -> None:
    for _ in range(2):
        assert move_alias(registry, "m", to("1", None)) is None
    assert list(moves_of(registry, "m")) == [1]


def test_a_move_that_was_cut_off_after_its_record_is_finished_under_its_number(
    registry: Any,
) -> None:
    registry.tags["distrain.promotion.1"] = json.dumps(to("1", None).to_json())
    assert move_alias(registry, "m", to("1", None)) is None
    assert registry.aliases == {"champion": "1"}
    assert list(moves_of(registry, "m")) == [1]


def test_undoing_goes_back_move_by_move(registry: Any) -> None:
    for version, before in (("1", None), ("2", "1"), ("3", "2")):
        move_alias(registry, "m", to(version, before))
    for number, back in ((3, "2"), (2, "1"), (1, None)):
        found = move_to_undo(registry, "m", "champion")
        assert found is not None
        assert (found[0], found[1].from_version) == (number, back)
        move_alias(registry, "m", to(back, found[1].to_version, undoes=number))
    assert registry.aliases == {}
    assert move_to_undo(registry, "m", "champion") is None


def test_another_alias_has_moves_of_its_own(registry: Any) -> None:
    move_alias(registry, "m", to("1", None))
    assert move_to_undo(registry, "m", "candidate") is None


def test_whose_claim_is_greater_gives_up(registry: Any) -> None:
    registry.tags["distrain.claim."] = f"{aliases.time.time()}"
    with pytest.raises(AliasBusyError, match="another promotion of m is under way"):
        move_alias(registry, "m", to("1", None))
    assert list(registry.tags) == ["distrain.claim."]
    assert registry.aliases == {}


def test_whose_claim_is_smaller_goes_on_when_the_other_has_given_up(
    registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aliases, "_PAUSE_S", 0)
    registry.tags["distrain.claim.zz"] = f"{aliases.time.time()}"
    registry.after = lambda _: registry.tags.pop("distrain.claim.zz", None)
    assert move_alias(registry, "m", to("1", None)) is None
    assert list(registry.tags) == ["distrain.promotion.1"]


def test_a_claim_that_an_attempt_left_behind_does_not_stop_the_next(registry: Any) -> None:
    def lose_answer(request: str) -> None:
        if request == "get":
            raise ConnectionError(request)

    registry.after = lose_answer
    delete, registry.delete_registered_model_tag = registry.delete_registered_model_tag, Mock()
    with pytest.raises(ConnectionError):
        move_alias(registry, "m", to("1", None))
    assert [tag for tag in registry.tags if "claim" in tag]
    registry.after, registry.delete_registered_model_tag = str, delete
    assert move_alias(registry, "m", to("1", None)) is None
    assert list(registry.tags) == ["distrain.promotion.1"]


def test_a_claim_of_a_dead_process_lapses(registry: Any) -> None:
    registry.tags["distrain.claim.0"] = f"{aliases.time.time() - 2 * aliases.CLAIM_S}"
    assert move_alias(registry, "m", to("1", None)) is None


def test_one_that_waits_for_another_finds_that_the_holder_has_changed(
    registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aliases, "_PAUSE_S", 0)
    registry.aliases["champion"] = "1"
    registry.tags["distrain.claim.zz"] = f"{aliases.time.time()}"

    def finish(request: str) -> None:
        if request == "get" and registry.tags.pop("distrain.claim.zz", None):
            registry.aliases["champion"] = "2"

    registry.after = finish
    refusal = move_alias(registry, "m", to("3", "1"))
    assert refusal == "version 2 has champion now, not version 1"


def test_a_later_verdict_takes_the_place_of_an_earlier_one() -> None:
    tags = {"distrain.gate": "refused", "distrain.gate.p": "0.4", "distrain.seed": "0"}
    client = SimpleNamespace(
        get_model_version=lambda *_: SimpleNamespace(tags=dict(tags)),
        set_model_version_tag=lambda _, __, tag, text: tags.update({tag: text}),
        delete_model_version_tag=lambda _, __, tag: tags.pop(tag),
    )
    later = {"distrain.gate": "passed", "distrain.gate.why": "better", "mlflow.user": "ann"}
    note_verdict(client, "m", "1", later)  # type: ignore[arg-type]
    assert tags == {"distrain.gate": "passed", "distrain.gate.why": "better", "distrain.seed": "0"}
