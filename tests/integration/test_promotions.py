"""Two promotions at once, on one SQLite registry."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from distrain.track.aliases import Move, move_alias, moves_of
from distrain.track.tracking_server import TrackingServer, connect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),
    pytest.mark.filterwarnings("ignore:::mlflow"),
]
ROUNDS = 10
RIVAL = """
import sys, time
from pathlib import Path
from distrain.track.aliases import AliasBusyError, Move, move_alias
from distrain.track.tracking_server import TrackingServer, connect

folder, version, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
client = connect(TrackingServer(f"sqlite:///{folder}/mlflow.db", folder, "storage"))
print("ready", flush=True)
for number in range(rounds):
    deadline = time.monotonic() + 60
    while not (folder / f"go-{number}").exists():
        assert time.monotonic() < deadline, "the test has ended"
        time.sleep(0.001)
    try:
        refusal = move_alias(client, "m", Move("champion", "1", version, who="ann", why="better"))
    except AliasBusyError as busy:
        refusal = str(busy)
    print("refused" if refusal else "moved", flush=True)
"""


def told(rival: "subprocess.Popen[str]") -> str:
    assert rival.stdout is not None
    return rival.stdout.readline().strip()


def test_of_two_promotions_at_once_one_is_refused_ten_times_of_ten(tmp_path: Path) -> None:
    client = connect(TrackingServer(f"sqlite:///{tmp_path}/mlflow.db", tmp_path, "storage"))
    client.create_registered_model("m")
    for _ in range(3):
        client.create_model_version("m", "s3://nowhere/model")
    with ExitStack() as stack:
        rivals = {
            version: stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", RIVAL, str(tmp_path), version, str(ROUNDS)],
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for version in ("2", "3")
        }
        assert [told(rival) for rival in rivals.values()] == ["ready", "ready"]
        holder = None
        for number in range(ROUNDS):
            assert move_alias(client, "m", Move("champion", holder, "1", who="ann")) is None
            (tmp_path / f"go-{number}").touch()
            outcomes = {version: told(rival) for version, rival in rivals.items()}
            assert sorted(outcomes.values()) == ["moved", "refused"]
            holder = str(client.get_registered_model("m").aliases["champion"])
            assert outcomes[holder] == "moved"
            assert len(moves_of(client, "m")) == 2 * (number + 1)
        assert [rival.wait(timeout=60) for rival in rivals.values()] == [0, 0]
        assert not [tag for tag in client.get_registered_model("m").tags if "claim" in tag]
