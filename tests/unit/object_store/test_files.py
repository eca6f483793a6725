import os

import pytest

from distrain.object_store import claims
from distrain.object_store.files import newest_files, put_files, take_in_files
from distrain.object_store.link import Link
from distrain.run_folder import keep_files, remove_result, write_result
from tests.s3_server import S3Server
from tests.unit.object_store.conftest import NewLink


@pytest.fixture
def link(new_link: NewLink) -> Link:
    link = new_link("first")
    claims.claim(link, 1, b"first")
    (link.folder / "model").mkdir()
    (link.folder / "model" / "weights").write_text("old!")
    (link.folder / "config.yaml").write_text("name: run")
    return link


def test_a_file_that_changed_and_did_not_grow_is_put(link: Link) -> None:
    weights = link.folder / "model" / "weights"
    put_files(link)
    stat = weights.stat()
    weights.write_text("new!")
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    put_files(link, surely=True)

    assert link.run.get("files/000001-000/model/weights") == b"new!"


def test_the_result_is_put_after_all_that_belongs_to_it(link: Link, server: S3Server) -> None:
    start = len(server.requests)

    write_result(link.folder, {"status": "finished"})

    put = [
        path.rpartition("/000001-000/")[2]
        for kind, path in server.requests[start:]
        if kind == "PUT"
    ]
    assert put == ["model/weights", "config.yaml", "result.json"]


def test_no_result_is_put_while_the_model_cannot_be(link: Link, server: S3Server) -> None:
    with server.being_away(), pytest.raises(OSError, match="SlowDown"):
        write_result(link.folder, {"status": "finished"})

    assert newest_files(link.run) == {}


def test_an_empty_file_is_a_file(link: Link, new_link: NewLink) -> None:
    (link.folder / "model" / "__init__.py").touch()
    keep_files(link.folder)

    other = new_link("second")
    take_in_files(other)

    assert (other.folder / "model" / "__init__.py").read_bytes() == b""


def test_a_run_that_goes_on_has_no_result_whatever_a_stale_driver_puts(
    link: Link, new_link: NewLink
) -> None:
    write_result(link.folder, {"status": "interrupted"})
    second = new_link("second")
    claims.claim(second, 2, b"second")
    assert (second.folder / "result.json").exists()
    remove_result(second.folder)
    write_result(link.folder, {"status": "finished"})

    third = new_link("third")
    claims.claim(third, 3, b"third")

    assert not (third.folder / "result.json").exists()
    assert (third.folder / "model" / "weights").read_text() == "old!"


def test_what_was_fetched_and_is_the_same_is_not_put_again(
    link: Link, new_link: NewLink, server: S3Server
) -> None:
    put_files(link)
    second = new_link("second")
    claims.claim(second, 2, b"second")
    start = len(server.requests)

    put_files(second, surely=True)

    assert server.requests[start:] == []


def test_a_folder_that_is_not_linked_is_left_alone(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("plain")

    keep_files(folder)
    write_result(folder, {"status": "finished"})
    remove_result(folder)

    assert list(folder.iterdir()) == []
