"""What is looked for on the other hosts of a cluster before anything begins."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from distrain import readiness
from distrain.config.load import settings_from_dict
from distrain.readiness import check_sight
from distrain.train.hosts import Host

Looked = list[tuple[dict[str, Path], list[tuple[str, Path]]]]
FAR = Host("n1", "beta", "192.0.2.2")


@pytest.fixture
def looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Looked:
    """What hosts were asked for; there is one, the user's code, and a source."""
    calls: Looked = []

    def check(_: Sequence[Host], kept: dict[str, Path], read: list[tuple[str, Path]]) -> None:
        calls.append((kept, read))

    monkeypatch.setattr(readiness, "other_hosts", lambda: [FAR])
    monkeypatch.setattr(readiness, "check_hosts", check)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "sight_net.py").write_text("class Net: pass\n")
    (tmp_path / "a.csv").write_text("x,y\n1,0\n2,1\n")
    return calls


def look(folder: Path, import_paths: Sequence[str] = (), **data: Any) -> None:
    values = {
        "storage": str(folder / "runs"),
        "data": {"source": str(folder / "a.csv"), "target": "y", **data},
        "model": {"target": "sight_net:Net"},
    }
    check_sight(settings_from_dict(values), import_paths)


def test_storage_code_and_sources_are_looked_for(tmp_path: Path, looked: Looked) -> None:
    look(tmp_path, [str(tmp_path)])

    code = ("the user's code", tmp_path / "sight_net.py")
    source = ("data.source", tmp_path / "a.csv")
    assert looked == [({"storage": tmp_path / "runs"}, [code, source])]


def test_code_that_hosts_find_elsewhere_is_not_looked_for(tmp_path: Path, looked: Looked) -> None:
    look(tmp_path)

    assert [what for _, read in looked for what, _ in read] == ["data.source"]


def test_a_cache_beside_the_storage_is_looked_for(tmp_path: Path, looked: Looked) -> None:
    look(tmp_path, cache={"path": str(tmp_path / "cache")})
    look(tmp_path, cache={"path": str(tmp_path / "runs" / "cache")})

    assert [list(kept) for kept, _ in looked] == [["storage", "data.cache.path"], ["storage"]]


def test_sources_that_are_prepared_and_not_streamed_are_not_looked_for(
    tmp_path: Path, looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "find_prepared", lambda *_, **__: "a dataset")

    look(tmp_path)
    look(tmp_path, ingest="stream")

    assert [[what for what, _ in read] for _, read in looked] == [[], ["data.source"]]


def test_with_one_host_nothing_is_done(
    tmp_path: Path, looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "other_hosts", list)

    look(tmp_path)

    assert looked == []
