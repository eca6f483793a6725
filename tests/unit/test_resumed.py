"""Which run is gone on with."""

from dataclasses import replace
from pathlib import Path

import pytest

from distrain.errors import ConfigError
from distrain.object_store.bucket import Bucket
from distrain.resumed import find_resumed, resumed_place
from tests.s3_server import S3Server
from tests.started_run import STARTED, make_run


@pytest.mark.parametrize(
    ("named", "is_last", "found"),
    [
        (["20250101T120000-aaaaaa"], False, "a/20250101T120000-aaaaaa"),
        ([], True, "b/20250102T120000-bbbbbb"),
        (["a"], True, "a/20250101T120000-aaaaaa"),
    ],
)
def test_a_run_is_found_by_name_or_as_the_last(
    tmp_path: Path, named: list[str], is_last: bool, found: str
) -> None:
    make_run(tmp_path, "a", "20250101T120000-aaaaaa")
    make_run(tmp_path, "b", "20250102T120000-bbbbbb")

    assert find_resumed(named, is_last=is_last, storage=tmp_path) == tmp_path / found


@pytest.mark.parametrize(
    ("named", "is_last", "told"),
    [
        ([], False, "no run was named"),
        (["r", "s"], False, "2 runs were named: r, s"),
        (["x"], True, "there is no run of 'x'"),
        (["x"], False, "there is no run 'x'"),
    ],
)
def test_what_names_no_run_is_told(
    tmp_path: Path, named: list[str], is_last: bool, told: str
) -> None:
    make_run(tmp_path)

    with pytest.raises(ConfigError, match=told):
        find_resumed(named, is_last=is_last, storage=tmp_path)


def test_a_run_that_only_makes_another_again_is_not_the_last(tmp_path: Path) -> None:
    own = make_run(tmp_path, "a", "20250101T120000-aaaaaa")
    again = make_run(tmp_path, "a", "20250102T120000-bbbbbb")
    replace(STARTED, reproduces="f" * 32).save(again)

    assert find_resumed([], is_last=True, storage=tmp_path) == own
    assert find_resumed([again.name], is_last=False, storage=tmp_path) == again


def test_the_last_run_at_a_store_is_one_of_its_own_too(
    tmp_path: Path, server: S3Server, account: None
) -> None:
    storage = server.place(f"last/{tmp_path.name}")
    begun = {"20250101T120000-aaaaaa": None, "20250102T120000-bbbbbb": "f" * 32}
    for run, reproduces in begun.items():
        replace(STARTED, reproduces=reproduces).save(tmp_path)
        files = Bucket(storage.below(f"a/{run}"))
        files.put("files/000001-000/started.json", (tmp_path / "started.json").read_bytes())
        files.put("files/000001-000/config.yaml", b"name: a")

    for words in ([], ["a"]):
        found = resumed_place(words, is_last=True, storage=Path(storage.uri))
        assert found == storage.below("a/20250101T120000-aaaaaa")
    with pytest.raises(ConfigError, match="there is no run of 'b'"):
        resumed_place(["b"], is_last=True, storage=Path(storage.uri))


def test_a_storage_among_the_overrides_says_where_to_look(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path)
    words = ["train.num_workers=3", f"storage={tmp_path}"]

    for named, is_last in (([], True), (["r"], False)):
        found = find_resumed(named, is_last=is_last, storage=Path("runs"), overrides=words)
        assert found == run_dir
