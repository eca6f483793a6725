"""Nothing piles up in a worker, however many steps it takes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.prepared_examples import write_classified

pytestmark = [pytest.mark.slow, pytest.mark.long]

# In a process of its own: what other tests left behind would blur it.
MANY_STEPS = """
import json
import sys
from pathlib import Path

from distrain.track.journal import JournalWriter
from distrain.train.loop import TrainJob, train
from distrain.train.world import World

def look():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "private MiB": int(status["RssAnon"].split()[0]) / 1024,
        "open files": len(list(Path("/proc/self/fd").iterdir())),
        "threads": int(status["Threads"]),
    }

seen = {}

def beat(phase, step):
    if phase == "compute" and step in (1_000, 9_999) and step not in seen:
        seen[step] = look()

job = TrainJob(
    sys.argv[1], sys.argv[2],
    model={"name": "mlp", "hidden": [16], "dropout": 0.1, "norm": "batch"},
    global_batch_size=16, steps=10_000, metrics=["accuracy"], evaluate_every_steps=500,
    record_every_steps=5, checkpoint_every_s=None, checkpoint_every_steps=500, ledger=True,
)
with JournalWriter(Path(sys.argv[1], "journal"), "rank_0") as journal:
    train(job, World.single("cpu"), journal, beat=beat)
print(json.dumps([seen[1_000], seen[9_999]]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ten_thousand_steps_take_no_more_memory_than_one_thousand(tmp_path: Path) -> None:
    data = write_classified(tmp_path / "data", {"train": 1_200, "validation": 100, "test": 100})
    (tmp_path / "run").mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", MANY_STEPS, str(tmp_path / "run"), str(data)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    early, late = json.loads(ended.stdout.splitlines()[-1])
    assert late["private MiB"] - early["private MiB"] < 4
    assert late["open files"] <= early["open files"] + 1  # a checkpoint may be under way
    assert late["threads"] <= early["threads"] + 1
