"""Listings: which files a setting names, in which order."""

import os
from pathlib import Path

import pytest

from distrain.config.data import IdxSource
from distrain.data.files import SourceFile
from distrain.data.sources import _common_format, list_source, local_places
from distrain.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.csv", "a.csv", "a10.csv", "deep/er/c.csv", "deep/d.csv.gz", "n.tsv", "r.md"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    for hidden in ("_SUCCESS.csv", ".part.csv", "deep/_temporary/0.csv"):
        (tmp_path / "data" / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / "data" / hidden).write_text("x")
    return tmp_path / "data"


def names(folder: Path, source: str | list[str], format_: str | None = None) -> list[str]:
    return [os.path.relpath(file.uri, folder) for file in list_source(source, format_).files]


def test_glob_is_sorted_and_stays_in_its_folder(folder: Path) -> None:
    assert names(folder, f"{folder}/*.csv") == ["a.csv", "a10.csv", "b.csv"]
    assert names(folder, f"{folder}/[ab].csv") == ["a.csv", "b.csv"]
    assert names(folder, f"{folder}/a?0.csv") == ["a10.csv"]


def test_two_stars_go_into_folders(folder: Path) -> None:
    assert names(folder, f"{folder}/**/*.csv") == ["a.csv", "a10.csv", "b.csv", "deep/er/c.csv"]


def test_directory_gives_the_files_of_a_format_below_it(folder: Path) -> None:
    every = ["a.csv", "a10.csv", "b.csv", "deep/d.csv.gz", "deep/er/c.csv"]
    assert names(folder, str(folder), "csv") == every
    assert names(folder, str(folder / "deep")) == ["deep/d.csv.gz", "deep/er/c.csv"]
    with pytest.raises(DataError, match="different formats"):
        list_source(str(folder))


def test_list_keeps_its_order(folder: Path) -> None:
    files = [str(folder / "b.csv"), str(folder / "a.csv")]
    assert names(folder, files) == ["b.csv", "a.csv"]


def test_file_uri_and_relative_path_name_the_same_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (spaced := folder / "my file.csv").write_text("x")
    assert list_source("a.csv") == list_source(f"file://{folder}/a.csv")
    assert list_source("my file.csv") == list_source(spaced.as_uri())


def test_name_with_brackets_is_a_file_if_it_is_there(folder: Path) -> None:
    (folder / "a[1].csv").write_text("x")
    assert names(folder, f"{folder}/a[1].csv") == ["a[1].csv"]


def test_format_is_by_extension_or_as_stated(folder: Path) -> None:
    assert list_source(f"{folder}/n.tsv").format == "tsv"
    assert list_source(f"{folder}/r.md", "csv").format == "csv"


def test_compression_is_by_extension(folder: Path) -> None:
    (file,) = list_source(f"{folder}/deep/d.csv.gz").files
    assert file.compression == "gzip"


def test_pair_of_idx_files_is_listed_images_first(folder: Path) -> None:
    pair = {"images": f"{folder}/b.csv", "labels": f"{folder}/a.csv"}
    listing = list_source(IdxSource.model_validate({"idx": pair}))
    assert listing.format == "idx"
    assert [Path(file.uri).name for file in listing.files] == ["b.csv", "a.csv"]


def test_changed_file_changes_the_listing(folder: Path) -> None:
    before = list_source(f"{folder}/a.csv").to_json()
    os.utime(folder / "a.csv", ns=(1, 1))
    assert list_source(f"{folder}/a.csv").to_json() != before


def test_local_files_folders_and_those_of_globs_are_told(folder: Path) -> None:
    names = [f"{folder}/a.csv", f"file://{folder}", f"{folder}/*.csv", "s3://bucket/a.csv"]

    assert local_places(names) == [folder / "a.csv", folder, folder]
    assert local_places("sklearn:digits") == []


def test_the_query_of_a_uri_is_no_part_of_its_ending(tmp_path: Path) -> None:
    (tmp_path / "rows.csv?x=1.gz").write_text("a\n1\n")
    at_store = SourceFile("s3://bucket/a.csv.gz?endpoint_override=host:9000&scheme=http", 1, "")

    assert at_store.compression == "gzip"
    assert _common_format([at_store]) == "csv"
    assert SourceFile(f"{tmp_path}/rows.csv?x=1.gz", 1, "").compression == "gzip"


def test_built_in_is_known_by_its_name_and_version() -> None:
    listing = list_source("sklearn:iris")
    assert listing.format == "built-in"
    assert listing.files[0].uri == "sklearn:iris"
    assert listing.files[0].version
