import json
import math
import os
import tempfile
import threading
import time
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distrain.track import journal_reading
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import (
    Hidden,
    last_step,
    last_written,
    list_segments,
    lost_ends,
    metric_values,
    missing_records,
    read_journal,
)

STEPS = [{"train/loss": 1.0 / step, "note ü": float(step)} for step in range(1, 9)]


def write_steps(folder: Path) -> Path:
    with JournalWriter(folder, "rank0") as journal:
        for step, values in enumerate(STEPS, start=1):
            journal.metrics(step, values)
    return journal.path


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_cut_anywhere_loses_only_the_torn_tail(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        path = write_steps(Path(temporary))
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])

        records, positions = read_journal(path.parent, {})

        num_whole = whole[:cut].count(b"\n")
        assert [metric_values(record) for record in records] == STEPS[:num_whole]
        path.write_bytes(whole)
        rest, _ = read_journal(path.parent, positions)
        assert [metric_values(record) for record in [*records, *rest]] == STEPS


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_damages_no_other_record(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        path = write_steps(Path(temporary))
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(content)

        records, _ = read_journal(path.parent, {})

        kept = [metric_values(record) for record in records if record.kind == "metrics"]
        assert all(values in STEPS for values in kept)
        # A line's end that is damaged joins two lines, the last one's leaves a torn tail.
        assert len(kept) >= len(STEPS) - 2
        assert len(kept) < len(STEPS)


def test_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    journal = JournalWriter(tmp_path, "driver")
    journal.params({"a": 1})
    first, positions = read_journal(tmp_path, {})
    journal.tags({"b": "2"})
    second, positions = read_journal(tmp_path, positions)
    third, _ = read_journal(tmp_path, positions)
    journal.close()

    assert [record.kind for record in first] == ["params"]
    assert [(record.kind, record.seq, record.payload) for record in second] == [
        ("tags", 2, {"b": "2"})
    ]
    assert third == []


def test_a_read_of_few_bytes_still_takes_whole_records(tmp_path: Path) -> None:
    write_steps(tmp_path)
    records, positions = read_journal(tmp_path, {}, max_bytes=1)
    assert len(records) == 1
    rest, _ = read_journal(tmp_path, positions, max_bytes=10_000)
    assert [record.seq for record in rest] == list(range(2, 9))


def test_a_reopened_journal_counts_on_in_a_new_segment(tmp_path: Path) -> None:
    torn = write_steps(tmp_path)
    with torn.open("ab") as file:
        file.write(b'{"crc32":"00')
    with JournalWriter(tmp_path, "rank0") as journal:
        journal.metrics(9, {"train/loss": 0.5})

    records, _ = read_journal(tmp_path, {})

    assert [path.name for path in list_segments(tmp_path)] == [
        "rank0-00001.jsonl",
        "rank0-00002.jsonl",
    ]
    assert [record.seq for record in records] == list(range(1, 10))


def test_writers_have_segments_of_their_own(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "driver") as driver, JournalWriter(tmp_path, "rank0") as worker:
        driver.status("FINISHED")
        worker.metrics(1, {"loss": 0.1})
    records, positions = read_journal(tmp_path, {})
    assert {(record.writer, record.kind) for record in records} == {
        ("driver", "status"),
        ("rank0", "metrics"),
    }
    assert set(positions) == {"driver-00001.jsonl", "rank0-00001.jsonl"}


def test_values_that_are_not_finite_come_back(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "rank0") as journal:
        journal.metrics(1, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 0.1})
    records, _ = read_journal(tmp_path, {})
    values = metric_values(records[0])
    assert math.isnan(values["a"])
    assert (values["b"], values["c"], values["d"]) == (math.inf, -math.inf, 0.1)


def test_an_event_of_a_search_keeps_what_is_not_finite_as_words(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "search") as journal:
        journal.search({"event": "reported", "values": {"a": math.nan, "b": 0.1}, "trial": 3})
        journal.search({"event": "decided", "cut": -math.inf, "ranks": [1, math.inf]})
    reported, decided = read_journal(tmp_path, {})[0]
    assert reported.kind == "search"
    assert reported.payload == {"event": "reported", "values": {"a": "nan", "b": 0.1}, "trial": 3}
    assert decided.payload == {"event": "decided", "cut": "-inf", "ranks": [1, "inf"]}


def test_every_line_is_json_with_the_stated_fields(tmp_path: Path) -> None:
    path = write_steps(tmp_path)
    for line in path.read_text(encoding="utf-8").splitlines():
        assert list(json.loads(line)) == ["crc32", "seq", "time_ms", "kind", "payload"]


def test_a_record_is_readable_before_it_is_synced(tmp_path: Path) -> None:
    journal = JournalWriter(tmp_path, "rank0")
    journal.progress({"rows_per_s": 3})
    records, _ = read_journal(tmp_path, {})
    journal.close()
    journal.close()
    assert [record.payload for record in records] == [{"rows_per_s": 3}]


def test_threads_share_a_writer_without_mixing_lines(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "driver") as journal:
        threads = [
            threading.Thread(target=lambda: [journal.metrics(i, {"m": i}) for i in range(200)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    records, _ = read_journal(tmp_path, {})
    assert [record.seq for record in records] == list(range(1, 801))


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = JournalWriter(tmp_path, "rank0")
    journal.metrics(1, {"loss": 1.0})
    write = os.write
    monkeypatch.setattr("os.write", lambda fd, line: write(fd, line[: len(line) // 2]))
    journal.metrics(2, {"loss": 0.5})
    with pytest.raises(OSError, match="No space left on device"):
        journal.sync()
    assert [record.seq for record in read_journal(tmp_path, {})[0]] == [1]
    monkeypatch.undo()
    journal.metrics(3, {"loss": 0.25})
    journal.close()
    records, _ = read_journal(tmp_path, {})
    assert [record.payload["values"]["loss"] for record in records] == [1.0, 0.5, 0.25]
    assert [record.seq for record in records] == [1, 2, 3]


def test_what_a_display_would_show_does_not_wait_for_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distrain.track.segment.STUCK_S", 0.0)
    with JournalWriter(tmp_path, "rank0") as journal:
        with monkeypatch.context() as patched:
            patched.setattr("os.write", lambda *_: 0)
            journal.metrics(1, {"loss": 0.5})
            journal.progress({"step": 1})
        journal.sync()
        journal.progress({"step": 2})
    records, _ = read_journal(tmp_path, {})
    assert [(record.kind, record.payload["step"]) for record in records] == [
        ("metrics", 1),
        ("progress", 2),
    ]


def test_what_a_full_disk_never_took_fails_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = JournalWriter(tmp_path, "rank0")
    with monkeypatch.context() as patched:
        patched.setattr("os.write", lambda *_: 0)
        journal.metrics(1, {"loss": 0.5})
        with pytest.raises(OSError, match="No space left on device"):
            journal.close()
    journal.close()


def test_a_writer_name_that_is_no_file_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="letters, digits and underscores"):
        JournalWriter(tmp_path, "rank/0")


def test_a_segment_that_a_stale_listing_does_not_show_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    JournalWriter(tmp_path, "rank0").close()
    monkeypatch.setattr("distrain.track.journal.segments_of", lambda *_: [])
    with JournalWriter(tmp_path, "rank0") as journal:
        assert journal.path.name == "rank0-00002.jsonl"


@settings(max_examples=60, deadline=None)
@given(
    contents=st.lists(st.text(alphabet="aé\\n", max_size=12), max_size=8),
    block=st.integers(1, 40),
    torn=st.binary(max_size=20).filter(lambda end: b"\n" not in end),
)
def test_the_last_record_is_found_from_the_end(
    contents: list[str], block: int, torn: bytes
) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        with JournalWriter(folder, "rank0") as journal:
            for content in contents:
                journal.note(content)
            journal.metrics(7, {"loss": 1.0})
            for content in contents:
                journal.note(content)
        with journal.path.open("ab") as file:
            file.write(torn)
        patch.setattr("distrain.track.journal_reading._BLOCK_BYTES", block)

        last, metrics = last_written("rank0", folder), last_written("rank0", folder, "metrics")

        assert last is not None
        assert last.seq == 2 * len(contents) + 1
        assert metrics is not None
        assert metrics.payload == {"step": 7, "values": {"loss": 1.0}}
        assert last_written("rank0", folder, "tags") is None
        assert last_step(folder) == 7
        assert list(lost_ends(folder, {})) == ([journal.path.name] if torn else [])


def test_a_tag_that_is_called_kind_is_not_taken_for_one(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "rank0") as journal:
        journal.metrics(7, {"loss": 1.0})
        journal.tags({"kind": "metrics"})
    found = last_written("rank0", tmp_path, "metrics")
    assert found is not None
    assert found.seq == 1


def test_long_segments_are_read_in_parts(tmp_path: Path) -> None:
    values = {f"metric_{number:03}": 1.0 for number in range(300)}
    with JournalWriter(tmp_path, "rank0") as journal:
        for step in range(2000):
            journal.metrics(step, values)
    tracemalloc.start()
    with JournalWriter(tmp_path, "rank0") as again:
        found = sum(1 for _ in again.earlier(1990))
    last_step(tmp_path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == 10
    assert peak_bytes < journal.path.stat().st_size / 2


def write_with_zeros(folder: Path, *, age_s: float) -> tuple[Path, bytes]:
    """Write a segment that two records are not shown of; return it and all that it holds."""
    path = write_steps(folder)
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    zeros = [bytes(len(lines[2]) + 10), lines[3][10:], bytes(10), lines[4][10:]]
    path.write_bytes(b"".join([*lines[:2], *zeros, *lines[5:]]))
    os.utime(path, (0, time.time() - age_s))
    return path, content


@pytest.mark.parametrize("age_s", [-7200, 0, 7200])
def test_what_nfs_does_not_show_yet_is_left_for_the_next_read_whatever_its_server_s_clock(
    tmp_path: Path, age_s: float
) -> None:
    path, content = write_with_zeros(tmp_path, age_s=age_s)
    hidden = Hidden()

    first, positions = read_journal(tmp_path, {}, max_bytes=len(content), hidden=hidden)
    path.write_bytes(content)
    rest, _ = read_journal(tmp_path, positions, hidden=hidden)

    assert [record.seq for record in first] == [1, 2]
    assert [record.seq for record in rest] == [3, 4, 5, 6, 7, 8]


def test_zeros_that_stay_for_a_minute_are_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_with_zeros(tmp_path, age_s=0)
    hidden = Hidden()
    _, positions = read_journal(tmp_path, {}, hidden=hidden)
    monkeypatch.setattr(journal_reading, "SHOWN_AFTER_S", 0.0)

    rest, _ = read_journal(tmp_path, positions, hidden=hidden)

    assert [record.kind for record in rest] == 2 * ["damaged"] + 3 * ["metrics"]


def test_zeros_at_another_place_are_waited_for_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, content = write_with_zeros(tmp_path, age_s=0)
    hidden = Hidden()
    now = iter([0.0, 59.0, 61.0, 120.0])
    monkeypatch.setattr(
        journal_reading, "time", SimpleNamespace(time=time.time, monotonic=lambda: next(now))
    )
    _, positions = read_journal(tmp_path, {}, hidden=hidden)
    num_shown = content.index(b"\n", positions[path.name]) + 1
    path.write_bytes(content[:num_shown] + bytes(len(content) - num_shown - 1) + b"\n")

    shown, positions = read_journal(tmp_path, positions, hidden=hidden)
    waiting, positions = read_journal(tmp_path, positions, hidden=hidden)
    damaged, _ = read_journal(tmp_path, positions, hidden=hidden)

    assert [[record.seq for record in read] for read in (shown, waiting)] == [[3], []]
    assert [record.kind for record in damaged] == ["damaged"]


@pytest.mark.parametrize("hidden", [None, Hidden()])
def test_zeros_in_a_segment_that_nobody_writes_to_are_damage(
    tmp_path: Path, hidden: Hidden | None
) -> None:
    write_with_zeros(tmp_path, age_s=time.time())

    records, _ = read_journal(tmp_path, {}, hidden=hidden)

    assert [record.kind for record in records] == (
        2 * ["metrics"] + 2 * ["damaged"] + 3 * ["metrics"]
    )


def test_a_missing_journal_is_empty(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "none", {}) == ([], {})


def write_segments(folder: Path, *counts: int) -> list[Path]:
    paths = []
    for count in counts:
        with JournalWriter(folder, "rank0") as journal:
            for step in range(count):
                journal.metrics(step, {"loss": 0.5})
        paths.append(journal.path)
    return paths


@pytest.mark.parametrize(
    ("taken", "gaps"),
    [
        ({1: []}, {}),
        ({1: [1]}, {1: [(1, 1)]}),
        ({1: [3, 4], 2: [9]}, {1: [(3, 4)], 2: [(9, 9)]}),
        ({1: [2], 3: [12]}, {1: [(2, 2)], 3: [(12, 12)]}),
        ({1: [5]}, {2: [(5, 5)]}),
        ({2: [6, 7, 8, 9, 10]}, {3: [(6, 10)]}),
        ({3: [15]}, {}),  # nothing is behind it: only a watermark can tell
    ],
)
def test_whole_lines_that_are_missing_are_told_by_their_numbers(
    tmp_path: Path, taken: dict[int, list[int]], gaps: dict[int, list[tuple[int, int]]]
) -> None:
    paths = write_segments(tmp_path, 5, 5, 5)
    for number, seqs in taken.items():
        lines = paths[number - 1].read_bytes().splitlines(keepends=True)
        first = 5 * (number - 1) + 1
        kept = [line for seq, line in enumerate(lines, start=first) if seq not in seqs]
        paths[number - 1].write_bytes(b"".join(kept))

    told = missing_records(tmp_path)

    assert told == {f"rank0-{number:05}.jsonl": gap for number, gap in gaps.items()}


def test_a_line_that_a_killed_process_left_torn_is_no_gap(tmp_path: Path) -> None:
    (path,) = write_segments(tmp_path, 5)
    path.write_bytes(path.read_bytes()[:-9])
    write_segments(tmp_path, 5)

    records, _ = read_journal(tmp_path, {})

    assert [record.seq for record in records] == list(range(1, 10))
    assert missing_records(tmp_path) == {}


def test_two_that_wrote_at_once_leave_no_gap(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "rank0") as frozen:
        frozen.metrics(1, {"loss": 0.5})
        with JournalWriter(tmp_path, "rank0") as other:
            frozen.metrics(2, {"loss": 0.5})
            frozen.metrics(3, {"loss": 0.5})
            other.metrics(2, {"loss": 0.5})
    write_segments(tmp_path, 2)

    assert missing_records(tmp_path) == {}


@pytest.mark.parametrize(("num_taken", "gaps"), [(0, {}), (1, {"rank0-00001.jsonl": [(2, 3)]})])
def test_a_damaged_line_stands_for_one_number(
    tmp_path: Path, num_taken: int, gaps: dict[str, list[tuple[int, int]]]
) -> None:
    path = write_steps(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"seq":2', b'"seq":7')
    path.write_bytes(b"".join(lines[:2] + lines[2 + num_taken :]))

    assert missing_records(tmp_path) == gaps


def test_the_last_step_is_the_greatest_that_metrics_or_progress_tell_of(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "rank0") as before, JournalWriter(tmp_path, "driver") as driver:
        driver.run({"experiment": "e"})
        assert last_step(tmp_path) == 0
        before.progress({"step": 1})
        before.metrics(10, {"train/loss": 1.0})
        assert last_step(tmp_path) == 10
        before.progress({"step": 13})
        assert last_step(tmp_path) == 13
    with JournalWriter(tmp_path, "rank0") as again:
        again.progress({"step": 4})
    assert last_step(tmp_path) == 13


def test_a_writers_next_segment_waits_for_the_end_of_the_one_before(tmp_path: Path) -> None:
    for first in (0, 50):
        with JournalWriter(tmp_path, "rank0") as writer:
            for step in range(first, first + 50):
                writer.metrics(step, {"loss": 1.0})
    with JournalWriter(tmp_path, "driver") as other:
        other.note("read at once")

    steps, notes, positions = [], [], {}
    for _ in range(50):
        records, positions = read_journal(tmp_path, positions, max_bytes=500)
        steps += [record.payload["step"] for record in records if record.kind == "metrics"]
        notes.append(sum(record.kind == "note" for record in records))

    assert steps == list(range(100))
    assert notes[0] == 1


def test_a_long_torn_end_holds_nothing_up(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "rank0") as torn:
        torn.note("x" * 1000)
    torn.path.write_bytes(torn.path.read_bytes()[:-10])
    with JournalWriter(tmp_path, "rank0") as writer:
        writer.metrics(1, {"loss": 1.0})

    records, _ = read_journal(tmp_path, {}, max_bytes=100)

    assert [record.kind for record in records] == ["metrics"]


def test_a_path_in_the_run_s_folder_is_recorded_from_there(tmp_path: Path) -> None:
    with JournalWriter(tmp_path / "run" / "journal", "driver") as journal:
        journal.artifact(tmp_path / "run" / "profile", "profile")
        journal.artifact(tmp_path / "elsewhere.txt")

    records, _ = read_journal(tmp_path / "run" / "journal", {})
    places = [record.payload["path"] for record in records]
    assert places == ["profile", str(tmp_path / "elsewhere.txt")]
