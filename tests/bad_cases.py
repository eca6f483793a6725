"""A command that is at fault, what must be told of it, and the folder that it runs in."""

import json
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from tests.command_line import Ended, run_in_process, told

Content = str | bytes

HEADER = "age,city,hours,income\n"
_CITIES, _INCOMES = ("Bern", "Oslo", "Rome"), ("low", "high")
PEOPLE = HEADER + "".join(
    f"{20 + i % 40},{_CITIES[i % 3]},{30 + i % 17},{_INCOMES[i * 7 % 5 > 1]}\n" for i in range(60)
)
CONFIG = "data: {source: people.csv, target: income}\n"
REGRESSION = ("data.target=hours", "data.task=regression")
QUICK = ("train.num_workers=1", "train.epochs=1", "model.hidden=[4]")

_ERROR_KEYS = {"kind", "message", "where", "expected", "mend"}


@final
@dataclass(frozen=True)
class Case:
    """A fault, in a folder that holds a good `people.csv` and a good `run.yaml` unless it says so.

    Attributes:
        words: what stands behind `distrain train run.yaml`.
        parts: what the message must say, part by part.
        files: what lies there beside, or in place of, the good files.
        kind: the error's kind.
        code: the exit code.
        environment: further variables.
        prepare: makes what is no plain file.
    """

    words: tuple[str, ...]
    parts: tuple[str, ...]
    files: Mapping[str, Content] = field(default_factory=dict)
    kind: str = "config"
    code: int = 2
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Path], object] = lambda _folder: None


def config_file(content: Content, *parts: str) -> Case:
    """A configuration file that is at fault."""
    return Case((), parts, {"run.yaml": content})


def word(said: str, *parts: str, **fields: Any) -> Case:
    """One word of the command line that is at fault."""
    return Case((said,), parts, **fields)


def source(
    content: Content, *parts: str, name: str = "bad.csv", words: tuple[str, ...] = ()
) -> Case:
    """A source that is at fault."""
    return Case((f"data.source={name}", *words), parts, {name: content}, kind="data")


def net(code: str, *parts: str, words: tuple[str, ...] = ("model.target=net:Net",)) -> Case:
    """A module of the user's own that is at fault."""
    return Case(words, parts, {"net.py": code}, kind="model")


def holdout(content: Content, *parts: str) -> Case:
    """A test source that does not fit `people.csv`."""
    return Case(("data.test_source=test.csv",), parts, {"test.csv": content}, kind="data")


def fill(folder: Path, case: Case) -> None:
    """Write what a case finds in its folder."""
    for name, content in {"people.csv": PEOPLE, "run.yaml": CONFIG, **case.files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    case.prepare(folder)


def search(section: str, *parts: str, words: tuple[str, ...] = ()) -> Case:
    """A section `tune` that is at fault; its first line is the third of the file."""
    return Case(words, parts, {"run.yaml": f"{CONFIG}tune:\n{textwrap.indent(section, '  ')}\n"})


def run(folder: Path, case: Case, command: str = "train") -> Ended:
    """Run a case with `--json` and return how it ended."""
    fill(folder, case)
    arguments = [command, "run.yaml", *case.words, "--json"]
    return run_in_process(arguments, folder, case.environment)


def assert_told(ended: Ended, case: Case) -> None:
    """Assert the exit code, the JSON of the contract, and the same message for a person."""
    assert ended.code == case.code, ended.stderr
    assert ended.stdout.count("\n") == 1
    fields = json.loads(ended.stdout)
    error = fields["error"]
    assert fields == {"status": "error", "exit_code": case.code, "error": error}
    assert error.keys() == _ERROR_KEYS
    assert error["kind"] == case.kind
    # Of several faults, each has a line of the message.
    assert error["expected"] or error["mend"] or "\n" in error["message"]
    assert ended.stderr.endswith(f"error: {told(error)}\n")
    assert [part for part in case.parts if part not in told(error)] == [], told(error)
