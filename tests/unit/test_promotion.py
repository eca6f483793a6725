from types import SimpleNamespace
from typing import Any

import pytest
from requests.exceptions import ConnectionError as LostError

from distrain import contest, promotion
from distrain.errors import ConfigError
from distrain.promotion import Promotion, check_alias, move, undo
from distrain.track import claims, model_versions, recorded
from distrain.track.model_versions import RegisteredVersion
from distrain.track.origin import REPRODUCED_TAG
from distrain.track.recorded import note_reproduced
from distrain.track.sending import KEY_TAG
from distrain.track.tracking_server import TrackingServer

SERVER = TrackingServer("http://127.0.0.1:9", None, "track.uri")


class Registry:
    """The part of an MLflow client that promotions need; the first answer to each is lost."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}
        self.aliases = {"champion": "1"}
        self.version_tags = {KEY_TAG: "k"}
        self.num_lost = 0
        self._seen: set[tuple[object, ...]] = set()

    def _answered(self, *request: object) -> None:
        if request not in self._seen:
            self._seen.add(request)
            self.num_lost += 1
            raise LostError("no answer")

    def get_registered_model(self, name: str) -> Any:
        self._answered("get", name)
        return SimpleNamespace(tags=dict(self.tags), aliases=dict(self.aliases))

    def get_model_version(self, name: str, version: str) -> Any:
        self._answered("version", name, version)
        return SimpleNamespace(version=version, tags=self.version_tags, description="")

    def update_model_version(self, _: str, version: str, description: str) -> None:
        self._answered("description", version, description)

    def set_registered_model_tag(self, _: str, key: str, value: str) -> None:
        self.tags[key] = value
        self._answered("tag", key, value)

    def delete_registered_model_tag(self, _: str, key: str) -> None:
        self.tags.pop(key, None)
        self._answered("no tag", key)

    def set_model_version_tag(self, _: str, version: str, key: str, value: str) -> None:
        self.version_tags[key] = value
        self._answered("version's tag", version, key)

    def set_registered_model_alias(self, _: str, alias: str, version: str) -> None:
        self.aliases[alias] = version
        self._answered("alias", alias, version)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    made = Registry()
    for module in (contest, promotion, model_versions, recorded):
        monkeypatch.setattr(module, "connect", lambda _: made)
    monkeypatch.setattr(claims, "PAUSE_S", 0.001)
    return made


def test_a_lost_answer_does_not_keep_an_alias_where_it_was(registry: Registry) -> None:
    wish = Promotion(RegisteredVersion("m", "2", None), "champion", "1", {})

    assert move(wish, "better", SERVER).status == "moved"
    assert registry.aliases == {"champion": "2"}
    assert undo("m", "champion", SERVER).status == "moved"
    assert registry.aliases == {"champion": "1"}
    assert registry.num_lost > 5


def test_a_lost_answer_does_not_end_a_contest_without_a_verdict(registry: Registry) -> None:
    rows = SimpleNamespace(own=None, shard_split=lambda _: SimpleNamespace(num_rows=0))
    candidate: Any = SimpleNamespace(name="m", key="k", goals=(), dataset=rows)

    verdict = contest.hold_contest(candidate, "champion", SERVER)

    assert verdict.reasons == ("it has the alias already",)
    assert registry.num_lost == 2


def test_a_lost_answer_does_not_keep_a_version_untagged(registry: Registry) -> None:
    assert note_reproduced(SERVER, RegisteredVersion("m", "2", None), None, "equal")
    assert registry.version_tags[REPRODUCED_TAG] == "equal"


@pytest.mark.parametrize(
    ("alias", "told"),
    [
        ("latest", "reserved by MLflow"),
        ("Latest", "reserved by MLflow"),
        ("v7", "reserved by MLflow"),
        ("", "none that the registry takes"),
        ("prod.eu", "none that the registry takes"),
        ("a/b", "none that the registry takes"),
        ("two words", "none that the registry takes"),
        ("x" * 256, "none that the registry takes"),
    ],
)
def test_an_alias_that_cannot_be_is_told(alias: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check_alias(alias)


def test_other_aliases_are_taken() -> None:
    for alias in ("champion", "prod-eu_2", "v7b", "x" * 255):
        check_alias(alias)
