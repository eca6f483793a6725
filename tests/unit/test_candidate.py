"""A registered version that is to be compared: its files have to be what its tags name."""

import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distrain import candidate
from distrain.candidate import registered_candidate
from distrain.config.load import settings_from_dict
from distrain.errors import ConfigError
from distrain.track.model_versions import RegisteredVersion
from distrain.track.origin import DATA_TAG, WEIGHTS_TAG
from distrain.track.packaged import held_weights_sha256
from distrain.track.sending import KEY_TAG
from tests.example_models import people_transform, save_example

VERSION = RegisteredVersion("people", "1", None)


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a version whose run is all there."""
    folder = save_example(tmp_path / "packaged", people_transform())
    weights = held_weights_sha256(folder)
    (tmp_path / "result.json").write_text(json.dumps({"goals": {}, "weights_sha256": weights}))
    settings = settings_from_dict({"data": {"source": "a.csv", "target": "y"}})
    stored = SimpleNamespace(settings=settings, started=SimpleNamespace(import_paths=[]))
    for name, answer in {
        "opened_run": nullcontext(tmp_path),
        "read_stored_run": stored,
        "data_of": None,
        "cache_of": None,
        "find_prepared": SimpleNamespace(digest="d"),
    }.items():
        monkeypatch.setattr(candidate, name, lambda *_, answer=answer, **__: answer)
    monkeypatch.setattr(
        candidate,
        "download_model",
        lambda _, __, place: Path(shutil.copytree(folder, place / "model")),
    )
    return folder


def judge(packaged: Path, weights: str) -> str:
    tags = {KEY_TAG: "k", DATA_TAG: "d", WEIGHTS_TAG: weights}
    server: Any = None
    with registered_candidate(VERSION, tags, server, packaged.parent) as found:
        return found.key


def test_a_version_that_holds_the_weights_of_its_tags_is_judged(packaged: Path) -> None:
    assert judge(packaged, held_weights_sha256(packaged)) == "k"


def test_a_version_that_holds_other_weights_is_not(packaged: Path) -> None:
    weights = held_weights_sha256(packaged)
    spec: dict[str, object] = {"name": "linear"}
    shutil.rmtree(packaged)
    save_example(packaged, people_transform(), spec)

    with pytest.raises(ConfigError, match="its files hold other weights than its tags name"):
        judge(packaged, weights)


def test_a_version_whose_weights_are_damaged_is_not(packaged: Path) -> None:
    weights = held_weights_sha256(packaged)
    (packaged / "model.safetensors").write_bytes(b"torn")

    with pytest.raises(ConfigError, match="the weights cannot be read"):
        judge(packaged, weights)
