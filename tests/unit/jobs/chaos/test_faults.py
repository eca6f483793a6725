"""How files are damaged."""

from pathlib import Path

from distrain.jobs.chaos.faults import NAMES, faults_of, flip, tensors_of, truncate


def test_a_flip_changes_one_bit_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(bytes(range(9)))

    flip(path)

    assert path.read_bytes() == bytes([0, 1, 2, 3, 5, 5, 6, 7, 8])


def test_a_torn_file_has_lost_its_second_half(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(bytes(range(9)))

    truncate(path)

    assert path.read_bytes() == bytes(range(4))


def test_the_tensors_are_the_largest_file_of_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(bytes(5))
    (tmp_path / "state.safetensors").write_bytes(bytes(50))

    assert tensors_of(tmp_path).name == "state.safetensors"


def test_each_name_stands_for_something() -> None:
    assert all(faults_of(10)[name] for name in NAMES)
