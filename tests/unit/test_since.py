import json
from pathlib import Path
from typing import Any

import pytest

from distrain.since import since_last_run

MACHINE = {"device": "cpu", "gpus": [], "cpu": "a cpu", "cpu_capability": "AVX2", "cuda": None}


def leave_run(experiment: Path, name: str, won: list[Any] | None = None, **planted: Any) -> Path:
    """Leave what a run leaves of where it comes from.

    Args:
        experiment: the folder of its experiment.
        name: its own.
        won: the search that it has won, and the trial.
        planted: `lr`, `rows`, `net` or `commit`, where it has others.
    """
    facts = {"lr": 0.01, "rows": "r1", "net": "n1", "commit": "c0ffee", **planted}
    lineage = experiment / name / "lineage"
    lineage.mkdir(parents=True)
    started = {
        "import_paths": [],
        "dataset_digest": "d" * 64,
        "files": [],
        "shapes": {},
        "tags": {},
        "won": won,
    }
    (lineage.parent / "started.json").write_text(json.dumps(started))
    config = (
        f"name: adult\nstorage: /somewhere/{name}\ntrain:\n  optimizer: {{lr: {facts['lr']}}}\n"
    )
    (lineage / "config.yaml").write_text(config)
    files = {
        "data.json": {
            "digest": facts["rows"],
            "sources": [{"uri": "people.csv", "sha256": facts["rows"]}],
            "splits": {"train": {"num_rows": 10, "shards": []}},
        },
        "code.json": {
            "distrain": {"version": "0.1", "sha256": "s", "files": {}},
            "user": {"files": {"net.py": facts["net"]}},
            "git": {"commit": facts["commit"], "is_dirty": False},
        },
        "machine.json": MACHINE,
    }
    for file, fields in files.items():
        (lineage / file).write_text(json.dumps(fields))
    (lineage / "requirements.txt").write_text("torch==2.13.0\n")
    return lineage.parent


def test_what_was_planted_is_told_and_nothing_else(tmp_path: Path) -> None:
    leave_run(tmp_path, "20261101T000000-aaaaaa", lr=0.5)
    leave_run(tmp_path, "20261102T000000-bbbbbb")
    run_dir = leave_run(
        tmp_path, "20261103T000000-cccccc", lr=0.02, rows="r2", net="n2", commit="abcdef"
    )

    since = since_last_run(run_dir)

    assert since is not None
    assert since.run == "20261102T000000-bbbbbb"
    assert [difference.text for difference in since.differences] == [
        "configuration: train.optimizer.lr 0.01 -> 0.02",
        "code: commit c0ffee -> abcdef",
        "code: net.py n1 -> n2",
        "data: people.csv r1 -> r2",
        "data: digest of the prepared data r1 -> r2",
    ]


def test_a_run_like_the_one_before_has_no_differences(tmp_path: Path) -> None:
    leave_run(tmp_path, "20261102T000000-bbbbbb")

    since = since_last_run(leave_run(tmp_path, "20261103T000000-cccccc"))

    assert since is not None
    assert since.differences == ()


@pytest.mark.parametrize("name", ["20261102T000000-bbbbbb", "20261103T000000-cccccc-0007"])
def test_what_a_search_s_winner_became_is_no_run_to_compare_with(tmp_path: Path, name: str) -> None:
    leave_run(tmp_path, name, won=["adult/20261103T000000-cccccc", 7])

    assert since_last_run(leave_run(tmp_path, "20261103T000000-cccccc")) is None


def test_a_winner_is_not_compared_with_its_own_search(tmp_path: Path) -> None:
    leave_run(tmp_path, "20261103T000000-cccccc")
    run_dir = leave_run(tmp_path, "20261103T000000-cccccc-0007", won=["adult/x", 7])

    assert since_last_run(run_dir) is None


def test_lineage_of_another_kind_is_told_to_be_unknown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = leave_run(tmp_path, "20261102T000000-bbbbbb")
    (before / "lineage" / "code.json").write_text("{}")

    assert since_last_run(leave_run(tmp_path, "20261103T000000-cccccc")) is None
    assert "what changed since run 20261102T000000-bbbbbb is not known" in caplog.text
