"""Moves of an alias, on a registry in memory."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from distrain.process import Process
from distrain.track import claims
from distrain.track.aliases import (
    AliasBusyError,
    Move,
    is_made,
    move_alias,
    move_to_undo,
    moves_of,
    note_verdict,
    overtaken,
)


class Registry:
    """The part of an MLflow client that aliases need; `after` is called after each request."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}
        self.aliases: dict[str, str] = {}
        self.descriptions: dict[str, str] = {}
        self.after: Callable[[str], object] = str

    def get_registered_model(self, _: str) -> Any:
        found = SimpleNamespace(tags=dict(self.tags), aliases=dict(self.aliases))
        self.after("get")
        return found

    def get_model_version(self, _: str, version: str) -> Any:
        return SimpleNamespace(description=self.descriptions.get(version))

    def update_model_version(self, _: str, version: str, description: str) -> None:
        self.descriptions[version] = description

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
        "done": True,
        "asked_ms": None,
    }


def test_both_versions_say_who_moved_an_alias_and_when(registry: Any) -> None:
    for move in (to("1", None), to("2", "1")):
        assert move_alias(registry, "adult", move) is None

    (when,) = {json.loads(registry.tags["distrain.promotion.2"])["when"]}
    told = f"**champion** since {when}, given by ann: better"
    assert registry.descriptions["2"] == told
    assert registry.descriptions["1"].endswith(f"**champion** until {when}: version 2 has it")


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


def test_what_a_journal_asked_for_is_told_from_a_later_request_and_from_one_cut_off(
    registry: Any,
) -> None:
    asked = to("2", "1", asked_ms=5)
    registry.aliases["champion"] = "1"
    registry.tags["distrain.promotion.1"] = json.dumps(asked.to_json())
    assert not is_made(registry, "m", asked)

    assert move_alias(registry, "m", asked) is None
    move_alias(registry, "m", to("1", "2", undoes=1))

    assert is_made(registry, "m", asked)
    assert not is_made(registry, "m", replace(asked, asked_ms=6))
    assert not is_made(registry, "m", replace(asked, alias="candidate"))


def test_a_tag_that_somebody_made_by_hand_is_no_move(registry: Any) -> None:
    for name in ("note", "3b", "-1", ""):
        registry.tags[f"distrain.promotion.{name}"] = "looks good"
    assert move_alias(registry, "m", to("1", None)) is None
    assert list(moves_of(registry, "m")) == [1]


def test_another_alias_has_moves_of_its_own(registry: Any) -> None:
    move_alias(registry, "m", to("1", None))
    assert move_to_undo(registry, "m", "candidate") is None


def test_whose_claim_is_greater_gives_up(registry: Any) -> None:
    registry.tags["distrain.claim."] = claims.claim_text()
    with pytest.raises(AliasBusyError, match="another promotion of m is under way"):
        move_alias(registry, "m", to("1", None))
    assert list(registry.tags) == ["distrain.claim."]
    assert registry.aliases == {}


def test_whose_claim_is_smaller_goes_on_when_the_other_has_given_up(
    registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PAUSE_S", 0)
    registry.tags["distrain.claim.zz"] = claims.claim_text()
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


def claim_of(process: Process, age_s: float) -> str:
    return json.dumps({"at": time.time() - age_s, "process": asdict(process)})


def dead_process() -> Process:
    code = "import json, dataclasses as d; from distrain.process import Process as P;"
    code += "print(json.dumps(d.asdict(P.current())))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return Process(**json.loads(told.stdout))


@pytest.mark.parametrize(
    "claim",
    [
        lambda: claim_of(Process.current(), age_s=2 * claims.CLAIM_S),
        lambda: claim_of(dead_process(), age_s=0),
        lambda: "written by hand",
    ],
    ids=["old", "dead", "nobody's"],
)
def test_a_claim_that_a_dead_process_left_lapses_and_is_removed(
    registry: Any, claim: Callable[[], str]
) -> None:
    registry.tags["distrain.claim.0"] = claim()
    assert move_alias(registry, "m", to("1", None)) is None
    assert list(registry.tags) == ["distrain.promotion.1"]


def test_a_forked_process_claims_for_itself() -> None:
    assert claims._token(1) == claims._token(1) != claims._token(2)


def cut_off_after(registry: Any, *, alias_moved: bool) -> None:
    """Let a move from version 1 to 2 end before the alias moves, or right after it."""
    move_alias(registry, "m", to("1", None))
    registry.tags["distrain.promotion.2"] = json.dumps(to("2", "1").to_json())
    if alias_moved:
        registry.aliases["champion"] = "2"


def test_a_move_that_was_cut_off_before_it_was_made_is_no_move(registry: Any) -> None:
    cut_off_after(registry, alias_moved=False)
    found = move_to_undo(registry, "m", "champion")
    assert found is not None
    assert found[0] == 1
    assert move_alias(registry, "m", to("3", "1")) is None
    assert [move.to_version for move in moves_of(registry, "m").values()] == ["1", "3"]


def test_a_move_that_was_cut_off_after_it_was_made_is_kept(registry: Any) -> None:
    cut_off_after(registry, alias_moved=True)
    found = move_to_undo(registry, "m", "champion")
    assert found is not None
    assert found[0] == 2
    assert move_alias(registry, "m", to("3", "2")) is None
    moves = moves_of(registry, "m")
    assert [move.to_version for move in moves.values()] == ["1", "2", "3"]
    assert all(move.done for move in moves.values())


def test_one_that_waits_for_another_finds_that_the_holder_has_changed(
    registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PAUSE_S", 0)
    registry.aliases["champion"] = "1"
    registry.tags["distrain.claim.zz"] = claims.claim_text()

    def finish(request: str) -> None:
        if request == "get" and registry.tags.pop("distrain.claim.zz", None):
            registry.aliases["champion"] = "2"

    registry.after = finish
    refusal = move_alias(registry, "m", to("3", "1"))
    assert refusal == "version 2 has champion now, not version 1"


def test_a_verdict_that_another_move_came_before_is_a_refusal() -> None:
    tags = {"distrain.gate": "passed", "distrain.gate.why": "better", "distrain.gate.p": "0.01"}
    assert overtaken(tags, "version 3 has champion now") == {
        "distrain.gate": "refused",
        "distrain.gate.why": "version 3 has champion now; before that: better",
        "distrain.gate.p": "0.01",
    }


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
