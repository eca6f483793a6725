"""What differs between runs, and what only follows from that."""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from distrain.compare.sides import find_sides
from distrain.compare.what_differs import Differences, what_differs
from distrain.errors import ConfigError
from distrain.track import lineage_folder
from tests.compared_runs import MadeRuns

Told = list[tuple[str, str, tuple[str | None, ...]]]


@pytest.fixture
def made(tmp_path: Path) -> MadeRuns:
    return MadeRuns(tmp_path)


def compared(made: MadeRuns, *names: str) -> Differences:
    return what_differs(find_sides(names, made.storage, ExitStack()))


def told(differences: Differences) -> Told:
    return [(row.part, row.what, row.values) for row in differences.causes]


def test_three_planted_differences_are_told_and_nothing_else(made: MadeRuns) -> None:
    made.run("r1")
    made.source += "3,1\n"
    made.code = "WIDTH = 4\n"
    made.rows["train"] += 1
    made.run("r2", optimizer={"name": "adamw", "lr": 0.01})

    found = compared(made, "r1", "r2")

    parts = [(part, what.rpartition("/")[2]) for part, what, _ in told(found)]
    assert parts == [
        ("configuration", "train.optimizer.lr"), ("code", "net.py"), ("data", "a.csv"),
    ]  # fmt: skip
    assert told(found)[0][2] == ("0.001", "0.01")
    assert {row.what for row in found.follows} == {"split train", "digest of the prepared data"}


def test_a_changed_file_is_told_line_by_line(made: MadeRuns) -> None:
    made.run("r1")
    made.code = "WIDTH = 4\nDEPTH = 2\n"
    made.run("r2")

    [change] = compared(made, "r1", "r2").code

    assert (change.letter, change.file) == ("B", "net.py")
    assert change.lines == ("@@ -1 +1,2 @@", "-WIDTH = 3", "+WIDTH = 4", "+DEPTH = 2")


def test_equal_runs_differ_in_nothing_and_it_is_told_how_much_was_compared(
    made: MadeRuns,
) -> None:
    made.run("r1")
    made.run("r2")

    found = compared(made, "r1", "r2")

    assert (found.causes, found.follows, found.code, found.notes) == ((), (), (), ())
    assert found.same["data"] == 1
    assert found.same["configuration"] > 40
    assert found.same["code"] > 300


def test_other_prepared_data_that_nothing_explains_is_itself_what_differs(made: MadeRuns) -> None:
    run_dir = made.run("r1")
    made.run("r2")
    kept = run_dir / "lineage" / lineage_folder.DATA
    data = json.loads(kept.read_text())
    data["splits"]["test"]["num_rows"] = 79
    kept.write_text(json.dumps(data))

    assert ("data", "split test", ("79 rows", "80 rows")) in told(compared(made, "r1", "r2"))


def test_another_machine_and_another_library_are_told(made: MadeRuns) -> None:
    run_dir = made.run("r1")
    made.machine |= {"gpus": ["NVIDIA H200"], "host": "far"}
    made.run("r2")
    lock = run_dir / "lineage" / lineage_folder.LOCK
    lock.write_text(lock.read_text().replace("torch==", "torch==1."))

    found = {what: values for _, what, values in told(compared(made, "r1", "r2"))}

    assert found["gpus"] == ("[]", '["NVIDIA H200"]')
    assert found["host"][1] == "far"
    assert found["torch"] == (f"1.{found['torch'][1]}", found["torch"][1])
    assert set(found) == {"gpus", "host", "torch"}


def test_of_three_runs_each_has_a_column(made: MadeRuns) -> None:
    made.run("r1")
    made.run("r2", epochs=7)
    made.run("r3", optimizer={"name": "adamw", "lr": 0.01})

    assert told(compared(made, "r1", "r2", "r3")) == [
        ("configuration", "train.epochs", ("5", "7", "5")),
        ("configuration", "train.optimizer.lr", ("0.001", "0.001", "0.01")),
    ]


def test_what_a_run_was_searched_with_is_no_difference_of_it(made: MadeRuns) -> None:
    made.run("r1")
    run_dir = made.run("r2")
    config = run_dir / "config.yaml"
    config.write_text(config.read_text().replace("tune: null", "tune: {num_trials: 3}"))

    assert told(compared(made, "r1", "r2")) == []


def test_searches_differ_in_what_they_searched(made: MadeRuns) -> None:
    best = {"trial": 1, "run_id": None, "config": {"train.optimizer.lr": 0.01}, "metrics": {}}
    made.search("s1", best, num_trials=8)
    made.search("s2", best, num_trials=16)

    assert told(compared(made, "s1", "s2")) == [("configuration", "tune.num_trials", ("8", "16"))]


def test_a_run_without_lineage_is_compared_by_its_configuration(made: MadeRuns) -> None:
    made.run("r1")
    run_dir = made.run("r2", epochs=7)
    (run_dir / "lineage").rename(run_dir / "gone")

    found = compared(made, "r1", "r2")

    assert told(found) == [("configuration", "train.epochs", ("5", "7"))]
    assert found.notes[0].startswith("B has no folder lineage/")
    assert list(found.same) == ["configuration"]


def test_a_damaged_lineage_is_told(made: MadeRuns) -> None:
    made.run("r1")
    run_dir = made.run("r2")
    (run_dir / "lineage" / lineage_folder.CODE).write_text('{"distrain": 3}')

    with pytest.raises(ConfigError, match="what the run was made from cannot be read"):
        find_sides(["r1", "r2"], made.storage, ExitStack())


def leave_diff(run_dir: Path, **sections: str) -> None:
    text = "".join(
        f"diff --git a/{name.replace('__', '.')} b/{name.replace('__', '.')}\n{body}"
        for name, body in sections.items()
    )
    (run_dir / "lineage" / lineage_folder.DIFF).write_text(text)


def test_changes_that_are_not_committed_are_told_by_file(made: MadeRuns) -> None:
    first, second = made.run("r1"), made.run("r2")
    leave_diff(first, loss__py="--- a\n+++ b\n-x\n")
    leave_diff(second, loss__py="--- a\n+++ b\n-x\n+y\n", data__py="+z\n")

    found = {what: values for _, what, values in told(compared(made, "r1", "r2"))}

    assert found["uncommitted changes of data.py"][0] is None
    was, now = found["uncommitted changes of loss.py"]
    assert was is not None
    assert was.startswith("+0 -1 lines")
    assert now is not None
    assert now.startswith("+1 -1 lines")


def test_changes_that_something_else_tells_are_not_told_twice(made: MadeRuns) -> None:
    first = made.run("r1")
    made.code = "WIDTH = 4\n"
    second = made.run("r2", epochs=7)
    leave_diff(first)
    leave_diff(second, net__py="-WIDTH = 3\n+WIDTH = 4\n", run__yaml="+epochs: 7\n")

    found = [what for _, what, _ in told(compared(made, "r1", "r2"))]

    assert found == ["train.epochs", "net.py"]
