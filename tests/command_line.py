"""The command line run inside the test's own process, and what a shell would see of it."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, final

from distrain import answer, cli
from distrain.errors import DistrainError


@final
@dataclass(frozen=True)
class Ended:
    """A command that has ended.

    Attributes:
        code: its exit code.
        stdout: all that it wrote there, native libraries included.
        stderr: likewise.
        left: what is new, gone or changed in its working directory: paths relative to it, sorted.
    """

    code: object
    stdout: str
    stderr: str
    left: list[str]


def run_in_process(
    words: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Ended:
    """Run `distrain WORDS` and return how it ended; saves the seconds that imports take.

    What it changes in this process is put back, apart from imported libraries and a Ray.

    Args:
        words: the arguments.
        folder: the working directory.
        environment: variables beside those of this process.
    """
    before = _contents(folder)
    with ExitStack() as stack:
        out, err = (stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(2))
        with _process_kept(folder), _descriptors_are(out, err):
            for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI"):
                os.environ.pop(name, None)
            os.environ.update(environment or {})
            code = _main(words)
        stdout, stderr = _text(out), _text(err)
    after = _contents(folder)
    left = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    return Ended(code, stdout, stderr, sorted(left))


def told(error: Mapping[str, str]) -> str:
    """Return an error object of `--json` as it is told to a person."""
    parts = {key: error[key] for key in ("where", "expected", "mend")}
    return str(DistrainError(error["message"], **parts))


def _main(words: Sequence[str]) -> object:
    sys.argv = ["distrain", *words]
    try:
        cli.main()
    except SystemExit as left:
        return left.code


@contextmanager
def _process_kept(folder: Path) -> Iterator[None]:
    """Work in a folder, and put back what a command changes in its process."""
    directory, environment = Path.cwd(), dict(os.environ)
    argv, path, on_sigterm = sys.argv, list(sys.path), signal.getsignal(signal.SIGTERM)
    modules = dict(sys.modules)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv, sys.path[:] = argv, path
        signal.signal(signal.SIGTERM, on_sigterm)
        # Of those alone that are new: to ask a lazy one for its file imports what it stands for.
        for name, module in list(sys.modules.items()):
            if module is modules.get(name):
                continue
            if (getattr(module, "__file__", None) or "").startswith(f"{folder}/"):
                del sys.modules[name]


@contextmanager
def _descriptors_are(out: IO[str], err: IO[str]) -> Iterator[None]:
    """Let descriptors 1 and 2, and Python's streams on them, lead into two files."""
    streams, kept = (sys.stdout, sys.stderr), (os.dup(1), os.dup(2))
    for stream, file, descriptor in zip(streams, (out, err), (1, 2), strict=True):
        stream.flush()
        os.dup2(file.fileno(), descriptor)
    try:
        with open(1, "w", closefd=False) as sys.stdout, open(2, "w", closefd=False) as sys.stderr:
            yield
    finally:
        sys.stdout, sys.stderr = streams
        for saved, descriptor in zip(kept, (1, 2), strict=True):
            os.dup2(saved, descriptor)
            os.close(saved)
        while answer.reserved:
            os.close(answer.reserved.pop())


def _contents(folder: Path) -> dict[str, bytes]:
    """Return what lies below a folder; what Python keeps of imported modules is no trace."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"folder"
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
