"""What findings come to, and how they are shown."""

import io

import pytest
from rich.console import Console

from distrain.jobs.doctor.findings import Diagnosis, Finding, Level, names
from distrain.jobs.doctor.page import Page

OK = Finding("Ray", "ok", "answers at 10.0.0.1:6379")
WARNING = Finding("runs", "warning", "1 run was left", "distrain resume a/b")
FAULT = Finding("storage", "fault", "cannot be written", "chown it", where="/runs")
AWAY = Finding("MLflow", "fault", "no answer", "Start it", exit_code=4)


@pytest.mark.parametrize(
    ("findings", "code"),
    [([OK], 0), ([OK, WARNING], 0), ([WARNING, FAULT], 2), ([AWAY], 4), ([AWAY, FAULT], 4)],
)
def test_the_exit_code_is_that_of_the_gravest_fault(findings: list[Finding], code: int) -> None:
    assert Diagnosis(tuple(findings)).exit_code == code


def test_json_has_each_check_with_its_mend() -> None:
    told = Diagnosis((OK, FAULT)).to_json()

    assert (told["status"], told["exit_code"]) == ("unfit", 2)
    assert told["counts"] == {"ok": 1, "warning": 0, "fault": 1}
    assert told["checks"][1] == {
        "check": "storage",
        "level": "fault",
        "where": "/runs",
        "message": "cannot be written",
        "mend": "chown it",
    }


def drawn(*, is_terminal: bool) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=is_terminal, width=60, highlight=False)
    console.print(Page(Diagnosis((OK, WARNING, FAULT))), soft_wrap=True)
    return file.getvalue()


def test_in_a_pipe_a_finding_is_a_plain_line() -> None:
    assert drawn(is_terminal=False).splitlines() == [
        "ok       Ray      answers at 10.0.0.1:6379",
        "warning  runs     1 run was left",
        "         mend     distrain resume a/b",
        "fault    storage  /runs: cannot be written",
        "         mend     chown it",
        "1 ok, 1 warning, 1 fault",
    ]


def test_a_terminal_gets_colours() -> None:
    shown = drawn(is_terminal=True)

    assert "\x1b[32mok" in shown
    assert "\x1b[1;31mfault" in shown


@pytest.mark.parametrize(
    ("hosts", "text"), [(["b", "a"], "a, b"), (list("abcde"), "a, b, c and 2 more")]
)
def test_many_hosts_are_counted(hosts: list[str], text: str) -> None:
    assert names(hosts) == text


def test_levels_are_all_counted() -> None:
    counts: dict[Level, int] = Diagnosis(()).counts

    assert counts == {"ok": 0, "warning": 0, "fault": 0}
