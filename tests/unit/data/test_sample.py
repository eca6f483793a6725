"""The first rows of a source, prepared without Ray."""

from pathlib import Path

import numpy as np
import pytest

from distrain.config.data import DataSettings
from distrain.data.opening import open_source
from distrain.data.runs import RUN_ROWS
from distrain.data.sample import sample_dataset
from distrain.errors import DataError


def settings(path: Path, **data: object) -> DataSettings:
    return DataSettings.model_validate({"source": str(path), "target": "label", **data})


def sampled(data: DataSettings) -> dict[str, tuple[int, ...]]:
    """Return the rows of each split, and the features' shape."""
    listing = open_source(data.source, data.format, data.read).listing
    with sample_dataset(data, listing) as dataset:
        rows = tuple(dataset.split(name).num_rows for name in ("train", "validation", "test"))
        values = dataset.split("train").take(np.arange(3))
        folder = Path(dataset.path)
        assert folder.is_dir()
    assert not folder.exists()
    return {"rows": rows, **{name: array.shape for name, array in values.items()}}


def write(path: Path, num_rows: int) -> Path:
    lines = [
        f"{n},{'red' if n % 3 else 'blue'},{'yes' if n % 2 else 'no'}" for n in range(num_rows)
    ]
    path.write_text("\n".join(["size,colour,label", *lines]) + "\n")
    return path


def test_a_small_source_is_prepared_whole(tmp_path: Path) -> None:
    found = sampled(settings(write(tmp_path / "a.csv", 1_000)))

    assert sum(found["rows"]) == 1_000
    assert found["x"] == (3, 3)  # size, and two colours


def test_of_a_large_source_the_first_run_is_prepared(tmp_path: Path) -> None:
    found = sampled(settings(write(tmp_path / "a.csv", RUN_ROWS + 5_000)))

    assert sum(found["rows"]) == RUN_ROWS


def test_small_files_are_taken_together(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.csv"):
        write(tmp_path / name, 100)

    assert sum(sampled(settings(tmp_path))["rows"]) == 300


def test_built_in_images_are_prepared(tmp_path: Path) -> None:
    found = sampled(
        settings(tmp_path).model_copy(update={"source": "sklearn:digits", "target": "target"})
    )

    assert sum(found["rows"]) == 1_797


def test_rows_that_nothing_can_be_learnt_from_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("size,label\n" + "1,no\n" * 50)

    with pytest.raises(DataError, match="class"):
        sampled(settings(path, task="classification"))
