"""What happened in a run, append-only: the first and durable place of every record.

A journal is a folder. Each writer (the driver, rank zero) appends to a segment file of its own,
`<writer>-<5 digits>.jsonl`, and begins a new segment whenever it is opened, so that nobody ever
writes behind a torn line. A line is one JSON object:

    {"crc32":"5f3c0a1e","seq":7,"time_ms":1732170000123,"kind":"metrics","payload":{...}}

`crc32` is over all that follows its own field, up to the line's end. `time_ms` is fixed here,
once, when the thing happened: whatever is sent to the tracking server later, and however often,
carries the same timestamp.

A record is handed to the operating system before `append` returns, so it outlives the process; it
outlives the machine after `sync`. While the disk is full, records wait in memory and are written,
in order, when there is room again; `sync` and `close` fail as long as there is none. No third-party
package is needed.
"""

import errno
import json
import os
import threading
import time
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, final

from distrain.durable import sync_folder
from distrain.track.journal_reading import (
    CRC_HEAD,
    SEGMENT,
    JournalRecord,
    last_written,
    segments_of,
    written_since,
)

Kind = Literal[
    "run",
    "params",
    "dataset",
    "start",
    "checkpoint",
    "metrics",
    "system",
    "tags",
    "artifact",
    "model",
    "status",
    "progress",
    "note",
    "trouble",
    "damaged",
]

_NOT_FINITE = {"nan", "inf", "-inf"}
_FULL = {errno.ENOSPC, errno.EDQUOT}


@final
class JournalWriter:
    """Appends the records of one writer to a new segment.

    Safe to use from several threads of one process. Call order: any of the recording methods,
    any number of times; `sync` before anything is committed that relies on what was recorded;
    `close` at the end.

    Args:
        folder: the journal's folder; made where it is missing.
        writer: a name of letters, digits and underscores; one open writer per name.
    """

    def __init__(self, folder: Path, writer: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        segments = segments_of(writer, folder)
        last = last_written(writer, folder)
        self._seq = 0 if last is None else last.seq
        number = int(segments[-1].stem.rpartition("-")[2]) + 1 if segments else 1
        name = f"{writer}-{number:05d}.jsonl"
        if not SEGMENT.match(name):
            raise ValueError(f"journal writer {writer!r}: letters, digits and underscores only")
        self.path = folder / name
        self._writer = writer
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = os.open(self.path, flags, 0o644)
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()
        sync_folder(folder)

    def append(self, kind: Kind, payload: Mapping[str, Any]) -> int:
        """Write one record, or keep it while the disk is full; return its sequence number.

        Args:
            kind: what the record is.
            payload: JSON values; numbers that are not finite only where `metrics` puts them.

        Raises:
            OSError: it cannot be written for another reason than a full disk.
        """
        time_ms = time.time_ns() // 1_000_000
        text = json.dumps(payload, separators=(",", ":"), allow_nan=False)
        with self._lock:
            seq = self._seq + 1
            body = f'"seq":{seq},"time_ms":{time_ms},"kind":"{kind}","payload":{text}}}'.encode()
            line = b'%b%08x",%b\n' % (CRC_HEAD, zlib.crc32(body), body)
            self._seq = seq
            self._waiting.append(line)
            try:
                self._write_waiting()
            except OSError as fault:
                if fault.errno not in _FULL:
                    raise
        return seq

    def run(self, facts: Mapping[str, Any]) -> None:
        """Record which run this journal is of; see `sending.find_or_create_run`."""
        self.append("run", facts)

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

    def progress(self, values: Mapping[str, Any]) -> None:
        """Record something for a display to show; it is never shipped."""
        self.append("progress", values)

    def note(self, text: str) -> None:
        """Record something that the user should know; it is shown, and never shipped."""
        self.append("note", {"text": text})

    def trouble(self, values: Mapping[str, Any]) -> None:
        """Record a step out of the ordinary: which, why, by which rows; it is never shipped."""
        self.append("trouble", values)

    def earlier(self, step: int) -> Iterator[JournalRecord]:
        """Give what this writer has recorded, the oldest first.

        Left out are what was for a display, and metrics of steps before `step`: a long run has
        millions, and to parse a thousand of them takes a hundredth of a second.
        """
        return written_since(step, self._writer, self.path.parent)

    def sync(self) -> None:
        """Force what was recorded on to the disk; returns when it is there.

        Raises:
            OSError: the disk is full, or gone.
        """
        with self._lock:
            self._write_waiting()
        os.fsync(self._fd)

    def close(self) -> None:
        """Sync and close; a second call does nothing.

        Raises:
            OSError: the disk is full, or gone; closed all the same.
        """
        with self._lock:
            if self._fd < 0:
                return
            try:
                self._write_waiting()
                os.fsync(self._fd)
            finally:
                os.close(self._fd)
                self._fd = -1

    def _kept_path(self, path: Path) -> str:
        absolute, run_dir = path.absolute(), self.path.absolute().parent.parent
        is_inside = absolute.is_relative_to(run_dir)
        return str(absolute.relative_to(run_dir) if is_inside else absolute)

    def _write_waiting(self) -> None:
        while self._waiting:
            line = self._waiting[0]
            if os.write(self._fd, line) != len(line):
                # A full disk takes part of a line: take it off again, so that lines stay whole.
                os.ftruncate(self._fd, self.path.read_bytes().rfind(b"\n") + 1)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            self._waiting.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _finite_or_word(value: float) -> float | str:
    word = repr(value)
    return word if word in _NOT_FINITE else value
