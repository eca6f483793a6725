"""The cache: what is made is found again, what fails leaves nothing."""

import shutil
from pathlib import Path

import pytest

from distrain.data.cache import Cache, digest_of
from distrain.data.features import Transform
from distrain.data.shards import write_manifest
from distrain.errors import DataError

KEY = digest_of("listing", {"recipe": 1})
DIGEST = "d" * 64


def write(folder: Path, digest: str = DIGEST) -> None:
    (folder / "shards").mkdir(parents=True)
    empty = {"num_rows": 0, "shards": []}
    splits = dict.fromkeys(("train", "validation", "test"), empty)
    transform = Transform("regression", ["t"]).to_json()
    manifest = {"format": 1, "digest": digest, "splits": splits, "transform": transform}
    write_manifest(folder, {**manifest, "columns": {}})


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fail(cache: Cache) -> None:
    with cache.making() as folder:
        write(folder)
        raise DataError("broken")


def make(cache: Cache) -> None:
    with cache.making() as folder:
        write(folder)
        cache.keep(folder, DIGEST)


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})


def test_dataset_is_found_once_it_is_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", KEY)
    assert cache.find() is None
    assert not cache.folder.exists()
    make(cache)
    found = cache.find()
    assert found is not None
    assert found.digest == DIGEST
    assert left(cache.folder) == [DIGEST, "index"]


def test_another_listing_of_the_same_content_leads_to_the_same_dataset(tmp_path: Path) -> None:
    make(Cache(tmp_path, KEY))
    other = Cache(tmp_path, digest_of("touched"))
    assert other.find() is None
    other.note(DIGEST)
    found = other.find()
    assert found is not None
    assert found.path == tmp_path / DIGEST


def test_error_leaves_nothing_behind(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "runs" / "prepared", KEY)
    with pytest.raises(DataError, match="broken"):
        fail(cache)
    assert left(tmp_path) == []


def test_error_leaves_what_was_there_before(tmp_path: Path) -> None:
    make(Cache(tmp_path, KEY))
    with pytest.raises(DataError, match="broken"):
        fail(Cache(tmp_path, "b" * 64))
    assert left(tmp_path) == [DIGEST, "index"]


def test_leftovers_of_dead_preparers_are_removed(tmp_path: Path) -> None:
    (tmp_path / f".preparing-{KEY[:16]}-0000").mkdir()
    (tmp_path / ".preparing-ffffffffffffffff-0000" / "shards").mkdir(parents=True)
    make(Cache(tmp_path, KEY))
    assert left(tmp_path) == [DIGEST, "index"]


def test_what_another_is_making_is_left_alone(tmp_path: Path) -> None:
    other = Cache(tmp_path, "b" * 64)
    with other.making() as folder:
        write(folder)
        make(Cache(tmp_path, KEY))
        assert (folder / "manifest.json").is_file()


def test_damaged_dataset_is_made_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path, KEY)
    make(cache)
    (tmp_path / DIGEST / "manifest.json").write_text("{")
    assert cache.find() is None
    make(cache)
    assert cache.find() is not None


@pytest.mark.parametrize("text", ["[", "[]", "{}"])
def test_damaged_index_is_as_none(tmp_path: Path, text: str) -> None:
    cache = Cache(tmp_path, KEY)
    make(cache)
    for path in (tmp_path / "index").iterdir():
        path.write_text(text)
    assert cache.find() is None
    shutil.rmtree(tmp_path / "index")
    assert cache.find() is None


def test_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "prepared", KEY)
    with pytest.raises(DataError, match=r"cannot be written here .*data\.cache\.path"):
        make(cache)
    assert left(tmp_path) == ["file"]
