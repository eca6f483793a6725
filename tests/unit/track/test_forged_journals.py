"""Journals that somebody has forged: what is no record is told, and no other file is sent."""

import json
import zlib
from pathlib import Path

import pytest

from distrain.track import journal_reading
from distrain.track.closing import Closing
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import (
    last_step,
    last_written,
    lost_ends,
    missing_records,
    read_journal,
    written_by,
)
from distrain.track.watermark import WATERMARK, Watermark

METRICS = '"seq":1,"time_ms":1,"kind":"metrics","payload":{"step":3,"values":{"a":1.0}}}'


def segment(folder: Path, *bodies: str) -> Path:
    """Write lines with right checksums."""
    folder.mkdir(parents=True)
    lines = (f'{{"crc32":"{zlib.crc32(body.encode()):08x}",{body}\n' for body in bodies)
    (folder / "driver-00001.jsonl").write_text("".join(lines))
    return folder


FORGED = {
    "nested without end": f'"seq":1,"time_ms":1,"kind":"run","payload":{"[" * 100_000}',
    "an endless number": f'"seq":{"9" * 100_000},"time_ms":1,"kind":"run","payload":{{}}}}',
    "no number": '"time_ms":1,"kind":"run","payload":{}}',
    "no JSON": '"seq":1',
    "a number that is none": METRICS.replace('"seq":1', '"seq":"x"'),
    "a payload that is none": '"seq":1,"time_ms":1,"kind":"metrics","payload":[]}',
    "a step that is none": METRICS.replace('"step":3', '"step":"x"'),
    "a value that is none": METRICS.replace("1.0", '"x"'),
    "a path that is none": '"seq":1,"time_ms":1,"kind":"artifact","payload":{"path":5}}',
}


@pytest.mark.parametrize("body", FORGED.values(), ids=FORGED)
def test_a_line_that_is_no_record_counts_as_damaged(tmp_path: Path, body: str) -> None:
    folder = segment(tmp_path / "journal", body, METRICS)
    records, _ = read_journal(folder, {})
    assert [record.kind for record in records] == ["damaged", "metrics"]
    assert [record.kind for record in written_by("driver", folder)] == ["damaged", "metrics"]
    assert last_step(folder) == 3


def test_a_line_without_end_is_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_reading, "MAX_LINE_BYTES", 1 << 20)
    folder = segment(tmp_path / "journal", METRICS)
    with (folder / "driver-00001.jsonl").open("r+b") as file:
        file.truncate(16 << 20)
    records, reached = read_journal(folder, {}, max_bytes=1 << 10)
    assert [record.kind for record in records] == ["metrics"]
    assert read_journal(folder, reached, max_bytes=1 << 10) == ([], reached)
    assert [record.kind for record in written_by("driver", folder)] == ["metrics", "damaged"]
    assert lost_ends(folder, reached) == {"driver-00001.jsonl": len(METRICS) + 21}
    assert missing_records(folder) == {}
    last = last_written("driver", folder)
    assert last is not None
    assert last.seq == 1


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"positions": 5}',
        '{"artifacts": [1]}',
        '{"positions": {"a": "x"}}',
        '{"without_data": ["x"]}',
        "[]",
    ],
)
def test_a_watermark_that_is_none_is_a_fresh_one(tmp_path: Path, text: str) -> None:
    (tmp_path / WATERMARK).write_text(text)
    assert Watermark.load(tmp_path) == Watermark()


class Sent:
    """Stands for what sends to the store; what it sends, and what is set aside, is kept."""

    def __init__(self) -> None:
        self.sent: list[Path] = []
        self.aside: list[str] = []

    def artifact(self, path: Path, _place: str) -> None:
        self.sent.append(path)

    def add(self, what: str, why: str) -> None:
        self.aside.append(f"{what}: {why}")

    def end(self, *_: object) -> None:
        raise AssertionError("there is no status to send")


def test_no_file_outside_of_the_run_is_sent(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    with JournalWriter(run_dir / "journal", "driver"):
        pass
    (tmp_path / "secret").write_text("secret")
    (run_dir / "own.txt").write_text("own")
    (run_dir / "folder").mkdir()
    (run_dir / "folder" / "link").symlink_to(tmp_path / "secret")
    names = ["../secret", str(tmp_path / "secret"), "folder", "own.txt"]
    mark = Watermark(artifacts=[(name, "") for name in names])
    store = Sent()
    closing = Closing(
        run_dir / "journal",
        None,  # type: ignore[arg-type]  # what only models and the status need
        None,  # type: ignore[arg-type]
        store,  # type: ignore[arg-type]
        mark,
        lambda: None,
        store,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
    )

    closing.send()

    assert store.sent == [run_dir / "own.txt"]
    assert store.aside == [
        f"artifact {name}: it lies outside of the run's folder"
        for name in ("../secret", str(tmp_path / "secret"), "folder/link")
    ]
    assert json.loads(json.dumps(mark.artifacts)) == []
