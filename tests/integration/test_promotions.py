"""Two promotions at once, on one SQLite registry."""

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from distrain.track.aliases import Move, move_alias, moves_of
from distrain.track.tracking_server import TrackingServer, connect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),
    pytest.mark.filterwarnings("ignore:::mlflow"),
]
ROUNDS = 10


def promote(folder: str, version: str, barrier: Any, outcomes: Any) -> None:
    client = connect(TrackingServer(f"sqlite:///{folder}/mlflow.db", Path(folder), "storage"))
    for number in range(ROUNDS):
        barrier.wait()
        refusal = move_alias(client, "m", Move("champion", "1", version, who="ann", why="better"))
        outcomes.put((number, version, refusal))
        barrier.wait()


def test_of_two_promotions_at_once_one_is_refused_ten_times_of_ten(tmp_path: Path) -> None:
    client = connect(TrackingServer(f"sqlite:///{tmp_path}/mlflow.db", tmp_path, "storage"))
    client.create_registered_model("m")
    for _ in range(3):
        client.create_model_version("m", "s3://nowhere/model")
    context = multiprocessing.get_context("spawn")
    barrier, outcomes = context.Barrier(3), context.Queue()
    rivals = [
        context.Process(target=promote, args=(str(tmp_path), version, barrier, outcomes))
        for version in ("2", "3")
    ]
    for rival in rivals:
        rival.start()
    for number in range(ROUNDS):
        client.set_registered_model_alias("m", "champion", "1")
        barrier.wait(timeout=120)
        told = [outcomes.get(timeout=120) for _ in rivals]
        winners = [version for _, version, refusal in told if refusal is None]
        assert len(winners) == 1, told
        holder = client.get_registered_model("m").aliases["champion"]
        assert str(holder) == winners[0]
        assert len(moves_of(client, "m")) == number + 1
        barrier.wait(timeout=120)
    for rival in rivals:
        rival.join(timeout=60)
    assert not [tag for tag in client.get_registered_model("m").tags if "claim" in tag]
