"""What happened in a run, append-only: the first and durable place of every record.

A journal is a folder. Each writer (the driver, rank zero) appends to a segment file of its own,
`<writer>-<5 digits>.jsonl`, and begins a new segment whenever it is opened, so that nobody ever
writes behind a torn line. A line is one JSON object:

    {"crc32":"5f3c0a1e","seq":7,"time_ms":1732170000123,"kind":"metrics","payload":{...}}

`crc32` is over all that follows its own field, up to the line's end. `time_ms` is fixed here,
once, when the thing happened: whatever is sent to the tracking server later, and however often,
carries the same timestamp.

A driver's record is handed to the operating system before `append` returns, so it outlives the
process; a training loop waits for no disk, and what it recorded outlives its process a tenth of a
second later. Either outlives the machine after `sync`, which every checkpoint calls before it
commits: what is lost of a loop that was killed is of steps that are computed again. While the disk
is full, records wait in memory (see `segment.py`); `sync` and `close` fail as long as it is. No
third-party package is needed.
"""

import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, final

from distrain.durable import sync_folder
from distrain.object_store.link import link_of
from distrain.object_store.pieces import claim_segment, put_lines
from distrain.track.journal_reading import (
    CRC_HEAD,
    SEGMENT,
    JournalRecord,
    last_written,
    segments_of,
    written_since,
)
from distrain.track.segment import SegmentFile

Kind = Literal[
    "store",
    "run",
    "params",
    "dataset",
    "start",
    "checkpoint",
    "metrics",
    "system",
    "machines",
    "tags",
    "artifact",
    "model",
    "status",
    "search",
    "progress",
    "note",
    "trouble",
    "assessment",
    "damaged",
]

_NOT_FINITE = {"nan", "inf", "-inf"}
_LOOP_WRITES_EVERY_S = 0.1
# What may say why the process is gone, a moment later.
_LAST_WORDS = ("tags", "note", "trouble")


@final
class JournalWriter:
    """Appends the records of one writer to a new segment.

    Safe to use from several threads of one process. Call order: any of the recording methods,
    any number of times; `sync` before anything is committed that relies on what was recorded;
    `close` at the end.

    Args:
        folder: the journal's folder; made where it is missing.
        writer: a name of letters, digits and underscores; one open writer per name.
        is_of_loop: whether a training loop records, which must not wait for the disk.
        is_ours: asked now and then whether this writer's records still count.
    """

    def __init__(
        self,
        folder: Path,
        writer: str,
        *,
        is_of_loop: bool = False,
        is_ours: Callable[[], bool] = lambda: True,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        segments = segments_of(writer, folder)
        last = last_written(writer, folder)
        self._seq = 0 if last is None else last.seq
        if not SEGMENT.match(f"{writer}-00001.jsonl"):
            raise ValueError(f"journal writer {writer!r}: letters, digits and underscores only")
        number = int(segments[-1].stem.rpartition("-")[2]) + 1 if segments else 1
        every_s = _LOOP_WRITES_EVERY_S if is_of_loop else None
        self._link = link_of(folder.parent)
        while True:
            self.path = folder / f"{writer}-{number:05d}.jsonl"
            with suppress(FileExistsError):  # on NFS, a listing may be a minute old
                self._claim()
                self._file = SegmentFile(self.path, every_s=every_s, is_ours=is_ours)
                break
            number += 1
        self._writer = writer
        self._is_closed = False
        self._lock = threading.Lock()
        sync_folder(folder)
        if self._link is not None:
            self._link.own_segments.append(self.path)

    def append(self, kind: Kind, payload: Mapping[str, Any]) -> int:
        """Take in one record and return its sequence number; where the disk takes none, it waits.

        Args:
            kind: what the record is.
            payload: JSON values; numbers that are not finite only where `metrics` puts them.

        Raises:
            OSError: the writer was closed.
        """
        time_ms = time.time_ns() // 1_000_000
        text = json.dumps(payload, separators=(",", ":"), allow_nan=False)
        with self._lock:
            seq = self._seq + 1
            body = f'"seq":{seq},"time_ms":{time_ms},"kind":"{kind}","payload":{text}}}'.encode()
            line = b'%b%08x",%b\n' % (CRC_HEAD, zlib.crc32(body), body)
            self._file.add(line, is_urgent=kind in _LAST_WORDS)
            self._seq = seq
        return seq

    def run(self, facts: Mapping[str, Any]) -> None:
        """Record which run this journal is of; see `sending.find_or_create_run`."""
        self.append("run", facts)

    def store(self, identity: str) -> None:
        """Record which tracking store the run is recorded at; see `stores.server_of_run`."""
        self.append("store", {"identity": identity})

    def params(self, values: Mapping[str, str | int | float | bool | None]) -> None:
        """Record parameters of the run; each is set once and for all."""
        self.append("params", values)

    def dataset(self, facts: Mapping[str, Any]) -> None:
        """Record the prepared dataset that the run is trained on; see `describe.dataset_facts`."""
        self.append("dataset", facts)

    def start(self, step: int, *, is_exact: bool, every_steps: int) -> None:
        """Record that training goes on from a step, 0 at first; what came after it is void.

        Args:
            step: committed optimizer steps.
            is_exact: whether steps that are computed again have the values that they had.
            every_steps: steps between two records of the training loss.
        """
        facts = {"step": int(step), "is_exact": is_exact, "every_steps": every_steps}
        self.append("start", facts)

    def checkpoint(self, step: int) -> None:
        """Record that a checkpoint of a step was committed."""
        self.append("checkpoint", {"step": int(step)})

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Record metrics at an optimizer step.

        Args:
            step: committed optimizer steps so far; for one metric it must not fall, except where
                steps are computed again after a failure (then the first value stands).
            values: metric to value; nan and infinities are kept.
        """
        plain = {key: float(value) for key, value in values.items()}
        payload = {"step": int(step), "values": plain}
        try:
            self.append("metrics", payload)
        except ValueError:
            payload["values"] = {key: _finite_or_word(value) for key, value in plain.items()}
            self.append("metrics", payload)

    def system(self, look: int, values: Mapping[str, float]) -> None:
        """Record how busy the machines are.

        Args:
            look: which look at them this is, from 0: the step of these metrics.
            values: metric to value, finite.
        """
        self.append("system", {"step": look, "values": values})

    def machines(self, facts: Sequence[Mapping[str, str]]) -> None:
        """Record which machines the metrics of the system are about, by number; not shipped."""
        self.append("machines", {"machines": list(facts)})

    def tags(self, values: Mapping[str, str]) -> None:
        """Record tags of the run; the last value of a tag stands."""
        self.append("tags", values)

    def artifact(self, path: Path, artifact_path: str = "") -> None:
        """Record a file or folder that belongs to the run.

        Args:
            path: where it lies; it must stay there, unchanged, until it is shipped. Below the run's
                folder it is recorded from there, and found again where that was moved.
            artifact_path: folder among the run's artifacts; empty: their root.
        """
        self.append("artifact", {"path": self._kept_path(path), "artifact_path": artifact_path})

    def model(self, path: Path, facts: Mapping[str, Any], alias: str | None) -> None:
        """Record a packaged model that a version is to be made of.

        Args:
            path: the MLflow model's folder; as in `artifact`.
            facts: see `registry.ModelFacts`.
            alias: what moves to the version; None: nothing does.
        """
        place = self._kept_path(path)
        self.append("model", {"path": place, "facts": dict(facts), "alias": alias})

    def status(self, status: str, ended_ms: int | None = None) -> None:
        """Record how the run ended: FINISHED, FAILED or KILLED (MLflow's words).

        Args:
            status: the word; RUNNING: the run goes on, and what was packaged before is void.
            ended_ms: when, in milliseconds since 1970; None: now.
        """
        ended = {} if ended_ms is None else {"ended_ms": ended_ms}
        self.append("status", {"status": status, **ended})

    def search(self, payload: Mapping[str, Any]) -> None:
        """Record an event of a search; see `trials.py` for what of them is shipped.

        Args:
            payload: `event` and what belongs to it; nan and infinities are kept, as words.
        """
        try:
            self.append("search", payload)
        except ValueError:
            self.append("search", _with_words(payload))

    def progress(self, values: Mapping[str, Any]) -> None:
        """Record something for a display to show; it is never shipped, and may be left out."""
        if not self._file.is_stuck:  # by the time the disk takes it, it would be of no use
            self.append("progress", values)

    def note(self, text: str) -> None:
        """Record something that the user should know; it is shown, and never shipped."""
        self.append("note", {"text": text})

    def trouble(self, values: Mapping[str, Any]) -> None:
        """Record a step out of the ordinary: which, why, by which rows; it is never shipped."""
        self.append("trouble", values)

    def assessment(self, split: str, counts: Mapping[str, Any]) -> None:
        """Record where the final model is wrong on a split; it is never shipped.

        Args:
            split: its name.
            counts: as `train.mistakes` gives them; what is not finite is kept as a word.
        """
        self.append("assessment", _with_words({"split": split, "counts": counts}))

    def earlier(self, step: int) -> Iterator[JournalRecord]:
        """Give what this writer has recorded, the oldest first.

        Left out are what was for a display, and metrics of steps before `step`: a long run has
        millions, and to parse a thousand of them takes a hundredth of a second.
        """
        return written_since(step, self._writer, self.path.parent)

    def sync(self) -> None:
        """Force what was recorded on to the disk; returns when it is there.

        Raises:
            OSError: the disk is full, or gone; or the store that the run is kept in is.
        """
        if self._link is None:
            self._file.sync()
        else:
            self._link.patiently(self._sync_at_store)

    def close(self) -> None:
        """Sync and close; a second call does nothing.

        Raises:
            OSError: the disk is full, or gone, or the store; closed all the same.
        """
        is_first, self._is_closed = not self._is_closed, True
        try:
            if is_first and self._link is not None:
                self.sync()
        finally:
            self._file.close()

    def _claim(self) -> None:
        """Make the segment's name this writer's, where hosts share nothing but a store."""
        link, name = self._link, self.path.name
        if link is not None:
            link.patiently(lambda: claim_segment(link, name))

    def _sync_at_store(self) -> None:
        assert self._link is not None
        self._file.sync()
        put_lines(self._link, self.path)

    def _kept_path(self, path: Path) -> str:
        absolute, run_dir = path.absolute(), self.path.absolute().parent.parent
        is_inside = absolute.is_relative_to(run_dir)
        return str(absolute.relative_to(run_dir) if is_inside else absolute)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Whatever ended the block comes before a full disk, or another who has taken over.
        with suppress(OSError) if kind is not None else nullcontext():
            self.close()


def _with_words(value: Any) -> Any:
    """Return JSON values in which words stand for the numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: _with_words(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_with_words(part) for part in value]
    return _finite_or_word(value) if isinstance(value, float) else value


def _finite_or_word(value: float) -> float | str:
    word = repr(value)
    return word if word in _NOT_FINITE else value
