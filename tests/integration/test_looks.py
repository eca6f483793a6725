"""Two judges at once, on one SQLite registry."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from distrain.track.aliases import TEST_TAG
from distrain.track.tracking_server import TrackingServer, connect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),
    pytest.mark.filterwarnings("ignore:::mlflow"),
]
ROUNDS = 10
ROWS = "ab" * 32
JUDGE = """
import sys, time
from pathlib import Path
from distrain.track.looks import Look, take_look
from distrain.track.tracking_server import TrackingServer, connect

folder, key, rows, rounds = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
client = connect(TrackingServer(f"sqlite:///{folder}/mlflow.db", folder, "storage"))
print("ready", flush=True)
for number in range(rounds):
    deadline = time.monotonic() + 60
    while not (folder / f"go-{number}").exists():
        assert time.monotonic() < deadline, "the test has ended"
        time.sleep(0.001)
    print(take_look(client, "m", Look(rows, f"{key}{number}", "1")), flush=True)
"""


def told(judge: "subprocess.Popen[str]") -> str:
    assert judge.stdout is not None
    return judge.stdout.readline().strip()


def test_of_two_judges_at_once_each_has_a_number_of_its_own_ten_times_of_ten(
    tmp_path: Path,
) -> None:
    client = connect(TrackingServer(f"sqlite:///{tmp_path}/mlflow.db", tmp_path, "storage"))
    client.create_registered_model("m")
    client.create_model_version("m", "s3://nowhere/model", tags={TEST_TAG: ROWS})
    with ExitStack() as stack:
        judges = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", JUDGE, str(tmp_path), key, ROWS, str(ROUNDS)],
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for key in ("a", "b")
        ]
        assert [told(judge) for judge in judges] == ["ready", "ready"]
        for number in range(ROUNDS):
            (tmp_path / f"go-{number}").touch()
            assert {told(judge) for judge in judges} == {f"{2 * number + 2}", f"{2 * number + 3}"}
        assert [judge.wait(timeout=60) for judge in judges] == [0, 0]
    tags = client.get_registered_model("m").tags
    assert len(tags) == 2 * ROUNDS
    assert not [tag for tag in tags if "claim" in tag]
