"""What the words of a command line are taken for."""

from pathlib import Path

import pytest

from distrain.commands.words import import_paths, words


def test_an_override_longer_than_a_file_name_may_be_is_one() -> None:
    names = "data.read.names=[" + ", ".join(f"column_{number}" for number in range(60)) + "]"

    assert words(["run.yaml", names], None) == (["run.yaml"], [names])
    assert import_paths(["/a/run.yaml", names])[0] == "/a"


def test_a_file_is_one_though_its_name_looks_like_an_override(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a=b.yaml").touch()

    assert words(["a=b.yaml", "seed=1"], None) == (["a=b.yaml"], ["seed=1"])
