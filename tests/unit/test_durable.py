from pathlib import Path

import pytest

from distrain.durable import replacing, write_atomically


def test_a_file_is_made_with_its_folder_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def write_half_of(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(b"ha")
        raise TypeError("the other half has no bytes")


def test_what_fails_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_atomically(path, b"whole")
    with pytest.raises(TypeError):
        write_half_of(path)
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_seen_before_the_end(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.bin") as temporary:
        temporary.write_bytes(b"all")
        assert not (tmp_path / "a.bin").exists()
    assert (tmp_path / "a.bin").read_bytes() == b"all"
