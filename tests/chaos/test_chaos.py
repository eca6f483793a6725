"""Faults of all kinds in real runs: the same weights come out, and each row was trained on once."""

import random
import re
import tempfile
from pathlib import Path

import pytest

from distrain.jobs.chaos.disk import can_mount
from tests.chaos.hosts import HAS_NAMESPACES
from tests.chaos.schedule import (
    Figures,
    carry_out,
    disk_act,
    hosts_act,
    smoke_schedule,
)

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

INTERVAL = 10
# Each of two damages may take one checkpoint away; on a full disk twelve steps are waited for.
MOST_STEPS_LOST = {"checkpoint": 3 * INTERVAL, "disk full": 2 * INTERVAL + 12}


SETTINGS = ("train.epochs=8",)
with tempfile.TemporaryDirectory(prefix="chaos-") as tried:
    CAN_MOUNT = can_mount(Path(tried))


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    chance = random.Random(1)
    acts = smoke_schedule(chance)
    if HAS_NAMESPACES:
        acts.append(hosts_act())
    if CAN_MOUNT:
        acts.append(disk_act(1))
    return carry_out(acts, tmp_path_factory.mktemp("chaos"), chance, SETTINGS)


def test_every_run_ends_with_the_same_weights(figures: Figures) -> None:
    print(figures.table())

    assert len(figures.injected) == 8 + 3 * HAS_NAMESPACES + CAN_MOUNT
    assert set(figures.hashes) == {figures.reference}


def test_every_run_is_recorded_whole(figures: Figures) -> None:
    assert figures.num_recorded == len(figures.hashes)


def test_each_row_is_trained_on_once_an_epoch(figures: Figures) -> None:
    assert (figures.rows_repeated, figures.rows_missing) == (0, 0)


def test_no_more_is_computed_again_than_a_checkpoint_covers(figures: Figures) -> None:
    lost = {fault.name: fault.steps_lost for fault in figures.injected}

    for name, steps in lost.items():
        kind = re.split("[:,]", name)[0]
        assert steps <= MOST_STEPS_LOST.get(kind, INTERVAL), name
    assert lost["node added"] == lost["node drained"] == 0


@pytest.mark.skipif(not HAS_NAMESPACES, reason="root alone can make network namespaces")
def test_a_cut_link_costs_the_worker_behind_it_and_no_run(figures: Figures) -> None:
    workers = {fault.name: fault.num_workers for fault in figures.injected if "link" in fault.name}

    assert workers == {
        "link cut for a second": (2, 2),
        "link cut": (2, 1),
        "link healed": (1, 2),
    }


@pytest.mark.skipif(not CAN_MOUNT, reason="a small disk is mounted by root alone")
def test_a_full_disk_costs_no_run(figures: Figures) -> None:
    assert "disk full, SIGKILL worker" in {fault.name for fault in figures.injected}
    assert figures.hashes[-1] == figures.reference
