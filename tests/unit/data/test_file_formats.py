"""Sources of every format as runs: the same rows, in the same order, however they are stored."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from distrain.config.data import DataSettings
from distrain.data import numpy_files, text_files, units
from distrain.data.columns import as_float64
from distrain.data.content import content_hashes, joined_hash
from distrain.data.plain_values import from_plain, to_plain
from distrain.data.reading import Reading
from distrain.data.sample import sample_dataset, sample_survey
from distrain.data.sources import list_source
from distrain.errors import DataError
from tests.file_formats import (
    TABLES,
    csv_text,
    png,
    write_arrow,
    write_image_folder,
    write_image_table,
    write_json_lines,
)
from tests.read_sources import opened, runs_of, table_of

COLUMNS = {
    "age": [20 + 7 * row % 41 for row in range(60)],
    "share": [row / 7 - 3 for row in range(60)],
    "city": [("Bern", "Oslo", "Rome")[row % 3] for row in range(60)],
    "member": [row % 4 == 0 for row in range(60)],
}
RNG = np.random.default_rng(3)
IMAGES = RNG.integers(0, 256, (6, 4, 3, 3), dtype=np.uint8)
LABELS = ["cat"] * 3 + ["dog"] * 3


def pixels(table: pa.Table, column: str = "image") -> "np.ndarray[Any, np.dtype[np.uint8]]":
    flat = table[column].combine_chunks().flatten().to_numpy()
    return flat.reshape(table.num_rows, 3, 4, 3)


@pytest.mark.parametrize("name", TABLES)
def test_same_rows_are_the_same_values_in_every_format(tmp_path: Path, name: str) -> None:
    TABLES[name](tmp_path / name, COLUMNS)
    source = opened(str(tmp_path / name))
    table = table_of(str(tmp_path / name))
    assert source.num_rows == 60
    assert source.is_exact
    assert source.reading.columns == tuple(COLUMNS)
    assert table.to_pydict() == COLUMNS
    assert [str(field.type) for field in table.schema] == ["int64", "double", "string", "bool"]


@pytest.mark.parametrize(
    ("target", "task"), [("member", "classification"), ("share", "regression")]
)
def test_same_rows_make_the_same_shards(tmp_path: Path, target: str, task: str) -> None:
    found = []
    for name, write in TABLES.items():
        write(tmp_path / name, COLUMNS)
        data = DataSettings(source=str(tmp_path / name), target=target, task=task)
        with sample_dataset(data, list_source(data.source)) as dataset:
            found.append([shard.sha256 for shard in dataset.shards()])
    assert len(found[0]) == 3
    assert found == [found[0]] * len(TABLES)


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "UNIT_BYTES", 512)
    monkeypatch.setattr(numpy_files, "GROUP_ROWS", 7)
    monkeypatch.setattr(text_files, "STREAM_BYTES", 300)


@pytest.mark.usefixtures("small_units")
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.arrow", "rows.npy"])
def test_large_files_are_cut_and_every_row_comes_once(tmp_path: Path, name: str) -> None:
    TABLES[name](tmp_path / name, COLUMNS)
    source = opened(str(tmp_path / name))
    runs = runs_of(source)
    assert len(units.cut_into_units(source.listing, source.reading)) > 3
    assert (
        pa.concat_tables([run.table for run in runs if run.table.num_rows]).to_pydict() == COLUMNS
    )
    pieces = [piece for run in runs for piece in run.pieces]
    assert sum(piece.num_rows for piece in pieces) == 60
    assert sum(piece.num_bytes for piece in pieces) == (tmp_path / name).stat().st_size


@pytest.mark.usefixtures("small_units")
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.arrow", "rows.npy", "rows.npz"])
def test_what_is_hashed_without_parsing_is_what_was_read(tmp_path: Path, name: str) -> None:
    TABLES[name](tmp_path / name, COLUMNS)
    source = opened(str(tmp_path / name))
    read = joined_hash([piece.sha256 for run in runs_of(source) for piece in run.pieces])
    ((found, *_),) = content_hashes(source.listing)
    assert found == read


@pytest.mark.usefixtures("small_units")
def test_packed_json_lines_are_read_part_by_part(tmp_path: Path) -> None:
    write_json_lines(plain := tmp_path / "a.jsonl", COLUMNS)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert table_of(str(tmp_path / "a.jsonl.gz")).to_pydict() == COLUMNS


def test_arrays_stored_by_column_are_read_by_row(tmp_path: Path) -> None:
    values = np.arange(20.0).reshape(10, 2)
    np.save(tmp_path / "a.npy", np.asfortranarray(values))
    assert np.array_equal(np.column_stack(table_of(str(tmp_path / "a.npy")).columns), values)


def test_columns_of_a_matrix_are_numbered_or_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6).reshape(3, 2))
    assert opened(str(tmp_path / "a.npy")).reading.columns == ("c0", "c1")
    assert table_of(str(tmp_path / "a.npy"), names=["age", "size"]).column_names == ["age", "size"]
    with pytest.raises(DataError, match=r"has 2 columns.*Expected 1, as data\.read\.names"):
        opened(str(tmp_path / "a.npy"), names=["age"])


def test_named_arrays_become_columns(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x_train=IMAGES, y_train=np.arange(6), x_test=IMAGES[:2])
    source = opened(str(tmp_path / "a.npz"), arrays={"image": "x_train", "label": "y_train"})
    table = table_of(str(tmp_path / "a.npz"), arrays={"image": "x_train", "label": "y_train"})
    assert source.reading.image_shapes == {"image": (3, 4, 3)}
    assert table["label"].to_pylist() == list(range(6))
    assert np.array_equal(pixels(table), IMAGES.transpose(0, 3, 1, 2))


def test_images_are_the_same_from_folders_bytes_and_arrays(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "images", IMAGES, LABELS)
    write_image_table(tmp_path / "images.parquet", IMAGES, LABELS)
    np.savez(tmp_path / "images.npz", image=IMAGES, label=np.array(LABELS))
    expected = IMAGES.transpose(0, 3, 1, 2)
    for name in ("images", "images.parquet", "images.npz"):
        table = table_of(str(tmp_path / name))
        assert np.array_equal(pixels(table), expected), name
        assert table["label"].to_pylist() == LABELS
    assert table_of(str(tmp_path / "images"))["file"][4].as_py() == "dog/00004.png"


def test_image_bytes_in_a_struct_are_images(tmp_path: Path) -> None:
    content = {"bytes": png(IMAGES[0]), "path": None}
    write_arrow(tmp_path / "a.arrow", {"image": [content] * 3, "label": [1, 2, 1]})
    assert np.array_equal(
        pixels(table_of(str(tmp_path / "a.arrow")))[2], IMAGES[0].transpose(2, 0, 1)
    )


def test_images_are_brought_to_a_size_and_to_grey(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "a", IMAGES, LABELS)
    (tmp_path / "a" / "dog" / "small.png").write_bytes(png(IMAGES[0][:2, :2]))
    source = opened(str(tmp_path / "a"), size=[8, 6], channels=1)
    assert source.reading.image_shapes == {"image": (1, 8, 6)}
    table = table_of(str(tmp_path / "a"), size=[8, 6], channels=1)
    assert table.num_rows == 7
    assert table.schema.field("image").type.list_size == 48


def test_reading_survives_its_plain_form(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "a", IMAGES, LABELS)
    reading = opened(str(tmp_path / "a"), size=[8, 6], channels=1).reading
    assert from_plain(Reading, to_plain(reading)) == reading


def test_grey_images_among_coloured_ones_are_coloured(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "a", IMAGES, LABELS)
    (tmp_path / "a" / "dog" / "grey.png").write_bytes(png(IMAGES[0, :, :, 0]))
    last = pixels(table_of(str(tmp_path / "a")))[-1]
    assert np.array_equal(last, np.stack([IMAGES[0, :, :, 0]] * 3))


def test_text_is_by_file_or_by_line(tmp_path: Path) -> None:
    for label in ("bad", "good"):
        (tmp_path / label).mkdir()
        for number in range(2):
            (tmp_path / label / f"{number}.txt").write_text(f"It was {label}.\nReally {number}.\n")
    by_file = table_of(str(tmp_path), "text")
    assert by_file["label"].to_pylist() == ["bad", "bad", "good", "good"]
    assert by_file["text"][1].as_py() == "It was bad.\nReally 1.\n"
    files = [str(tmp_path / "bad" / "0.txt"), str(tmp_path / "good" / "1.txt")]
    by_line = table_of(files, "text", example="line")
    assert by_line["text"].to_pylist() == ["It was bad.", "Really 0.", "It was good.", "Really 1."]
    assert by_line["label"].to_pylist() == ["0", "0", "1", "1"]


def test_name_of_a_file_is_no_feature(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / str(number % 2)).mkdir(exist_ok=True)
        (tmp_path / str(number % 2) / f"{number}.txt").write_text(f"word {number % 2}")
    data = DataSettings(source=str(tmp_path), format="text", target="label")
    with sample_dataset(data, list_source(data.source, "text")) as dataset:
        assert dataset.transform.input_columns == ["text"]
        assert dataset.transform.id_columns == ["file"]


@pytest.mark.usefixtures("small_units")
def test_lines_of_a_large_text_come_once(tmp_path: Path) -> None:
    lines = [f"example {number} of text" for number in range(100)]
    (tmp_path / "reviews.pos").write_text("\n".join(lines))
    table = table_of(str(tmp_path / "reviews.pos"), "text", example="line")
    assert table["text"].to_pylist() == lines
    assert set(table["label"].to_pylist()) == {"reviews.pos"}


@pytest.mark.parametrize("sign", [";", "|", "\t", ","])
def test_delimiter_is_told_from_the_rows_where_no_extension_says_it(
    tmp_path: Path, sign: str
) -> None:
    (tmp_path / "rows.data").write_text(csv_text(COLUMNS, sign))
    assert table_of(str(tmp_path / "rows.data"), "csv").to_pydict() == COLUMNS


def test_json_numbers_and_text_in_a_column_are_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1, "b": true}\n{"a": "x"}\n{"a": 1.5, "b": null}\n')
    assert table_of(str(tmp_path / "a.jsonl")).to_pydict() == {
        "a": ["1", "x", "1.5"],
        "b": [True, None, None],
    }


def test_json_dates_are_the_dates_of_csv(tmp_path: Path) -> None:
    days = {"day": [f"2024-02-{day:02d}" for day in range(1, 20)]}
    TABLES["rows.csv"](tmp_path / "a.csv", days)
    write_json_lines(tmp_path / "a.jsonl", days)
    mixed = [
        {"day": day, "mixed": day[-1:] * (row % 2) or row} for row, day in enumerate(days["day"])
    ]
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(record) + "\n" for record in mixed))
    seconds = []
    for name in ("a.csv", "a.jsonl", "b.jsonl"):
        source = opened(str(tmp_path / name))
        (run,) = runs_of(source)
        kind = str(run.table.schema.field("day").type)
        seconds.append(as_float64(run.table["day"], "day", kind, source.reading.text))
    assert np.array_equal(seconds[0], seconds[1])
    assert np.array_equal(seconds[0], seconds[2])


def test_json_files_may_lack_keys_and_have_them_in_another_order(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_text('{"a": 1, "b": "x"}\n{"b": "y"}\n')
    (tmp_path / "2.jsonl").write_text('{"b": "z", "a": 2}\n{"a": 2.5}\n')
    assert table_of(str(tmp_path / "*.jsonl")).to_pydict() == {
        "a": [1, None, 2, 2.5],
        "b": ["x", "y", "z", None],
    }


@pytest.mark.parametrize("name", TABLES)
def test_columns_in_another_order_are_the_same_columns(tmp_path: Path, name: str) -> None:
    TABLES[name](tmp_path / f"1-{name}", COLUMNS)
    TABLES[name](tmp_path / f"2-{name}", {key: COLUMNS[key] for key in reversed(COLUMNS)})
    table = table_of(str(tmp_path / f"*-{name}"))
    assert table.to_pydict() == {key: [*values, *values] for key, values in COLUMNS.items()}


@pytest.mark.parametrize("name", [name for name in TABLES if "json" not in name])
def test_column_that_a_file_lacks_or_has_besides_is_told(tmp_path: Path, name: str) -> None:
    TABLES[name](tmp_path / f"1-{name}", COLUMNS)
    TABLES[name](tmp_path / f"2-{name}", {"ages": COLUMNS["age"], **COLUMNS})
    with pytest.raises(DataError, match=f"2-{name}: the file has 'ages' besides"):
        table_of(str(tmp_path / f"*-{name}"))
    TABLES[name](tmp_path / f"2-{name}", {k: v for k, v in COLUMNS.items() if k != "city"})
    with pytest.raises(DataError, match=f"2-{name}: the file lacks 'city'"):
        table_of(str(tmp_path / f"*-{name}"))


def test_directory_of_tables_leaves_pictures_and_json_aside(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(csv_text(COLUMNS))
    (tmp_path / "plot.png").write_bytes(png(IMAGES[0]))
    (tmp_path / "about.json").write_text("{}")
    assert opened(str(tmp_path)).listing.format == "csv"


@pytest.mark.parametrize("kind", ["images", "text"])
def test_names_that_say_the_class_are_part_of_the_content(tmp_path: Path, kind: str) -> None:
    def content(folder: str, num_cats: int) -> list[list[str]]:
        labels = ["cat"] * num_cats + ["dog"] * (6 - num_cats)
        for number, (image, label) in enumerate(zip(IMAGES, labels, strict=True)):
            path = tmp_path / folder / label / f"{number}.{'png' if kind == 'images' else 'txt'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(image) if kind == "images" else f"example {number}".encode())
        source = str(tmp_path / folder)
        data = DataSettings(source=source, target="label", format=kind)
        return sample_survey(data, list_source(source, kind)).content()

    assert content("one", 3) == content("copy", 3)
    assert content("one", 3) != content("other", 2)
