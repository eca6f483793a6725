"""What a job brings along: named by its content, the same bytes, no larger than Ray takes."""

import io
import zipfile
from pathlib import Path

import pytest

from distrain.errors import ConfigError
from distrain.jobs.package import archive, check_size, digest_of, own_files


def test_an_archive_holds_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("x: 1\n", encoding="utf-8")

    packed = archive({"config/0/a.yaml": tmp_path / "a.yaml", "ticket.json": b"{}"})

    with zipfile.ZipFile(io.BytesIO(packed)) as zipped:
        assert zipped.namelist() == ["config/0/a.yaml", "ticket.json"]
        assert zipped.read("config/0/a.yaml") == b"x: 1\n"


def test_files_of_another_age_are_the_same_archive(tmp_path: Path) -> None:
    import os

    path = tmp_path / "a.py"
    path.write_text("x = 1\n", encoding="utf-8")
    before = archive({"a.py": path}), digest_of({"a.py": path})
    os.utime(path, (1, 1))

    assert (archive({"a.py": path}), digest_of({"a.py": path})) == before


@pytest.mark.parametrize("other", [{"a": b"2"}, {"b": b"1"}, {"a": b"1", "b": b""}])
def test_other_files_have_another_digest(other: dict[str, Path | bytes]) -> None:
    assert digest_of(other) != digest_of({"a": b"1"})


def test_too_much_is_refused_with_the_largest_files(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(b"x" * 3000)

    with pytest.raises(ConfigError, match=r"the largest: \S+/data\.csv \(0\.0 MiB\), small"):
        check_size({"small": b"1" * 20, "data": tmp_path / "data.csv"}, max_bytes=1000)


def test_distrain_goes_along_with_its_name_and_version() -> None:
    files = own_files()

    assert {"distrain/__init__.py", "distrain/as_job.py", "distrain/jobs/package.py"} <= set(files)
    [metadata] = [name for name in files if name.endswith(".dist-info/METADATA")]
    assert b"Name: distrain" in files[metadata]  # type: ignore[operator]  # these are bytes
    assert not any("__pycache__" in name for name in files)
