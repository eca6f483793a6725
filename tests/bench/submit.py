"""What it takes to submit a trivial job, beside `ray job submit` with a folder of as many files.

    python -m tests.bench.submit [--times 5] [--out FILE]

Both in turn, on a warm cluster of its own, until the id of the job is there; each job is ended
before the next is submitted, so that none runs beside a measurement. `ray job submit` sends the
files that distrain sends, and `true` is its command. Told are the medians, their ratio, and what it
takes distrain to find that the same was submitted before.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from distrain.jobs.dashboard import Dashboard, connect
from distrain.jobs.package import own_files
from tests.private_ray import RAY, private_ray

DISTRAIN = Path(sys.executable).with_name("distrain")
CONFIG = {
    "data": {"source": "sklearn:digits", "target": "target"},
    "train": {"epochs": 1, "num_workers": 1},
}


def write_folder(folder: Path) -> None:
    """Write what `ray job submit` sends: the same files."""
    for name, content in own_files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())


def timed(words: list[str], folder: Path, url: str) -> float:
    """Return the seconds that a command takes."""
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": url}
    began = time.perf_counter()
    subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - began


def end_jobs(dashboard: Dashboard) -> None:
    """End what runs, and wait until it has ended."""
    while active := [
        job for job in dashboard.json("/api/jobs/") if job["status"] in ("PENDING", "RUNNING")
    ]:
        for job in active:
            if job["submission_id"]:
                dashboard.ask("POST", f"/api/jobs/{job['submission_id']}/stop")
        time.sleep(0.5)
    time.sleep(1)


def measure(times: int) -> dict[str, Any]:
    """Submit by turns and return the seconds of each."""
    found: dict[str, list[float]] = {}
    environment = {"PYTHONPATH": "", "RAY_AUTH_MODE": "disabled"}
    with private_ray(environment=environment) as head, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.yaml").write_text(json.dumps(CONFIG), encoding="utf-8")
        write_folder(folder / "sent")
        dashboard = connect(head.url)
        ray = [str(RAY), "job", "submit", "--no-wait", "--working-dir", "sent", "--", "true"]
        own = [str(DISTRAIN), "submit", "train", "a.yaml", f"storage={folder}/runs"]
        for turn in range(times + 1):  # the first warms up
            (folder / "sent" / "turn.txt").write_text(str(turn), encoding="utf-8")
            (folder / "a.yaml").write_text(json.dumps({**CONFIG, "seed": turn}), encoding="utf-8")
            for kind, words in (
                ("ray, new package", ray),
                ("distrain, new package", own),
                ("distrain, the same again", own),
            ):
                seconds = timed(words, folder, head.url)
                print(f"turn {turn}, {kind}: {seconds:.2f} s", flush=True)
                end_jobs(dashboard)
                found.setdefault(kind, []).append(seconds)
    return {kind: seconds[1:] for kind, seconds in found.items()}


def main() -> None:
    """Measure, print lines, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    found = measure(options.times)
    medians = {kind: statistics.median(seconds) for kind, seconds in found.items()}
    for kind, median in medians.items():
        print(f"{kind}: {median:.2f} s (median of {options.times})")
    ratio = medians["distrain, new package"] / medians["ray, new package"]
    print(f"distrain to ray, new package: {ratio:.2f}")
    if options.out is not None:
        options.out.write_text(json.dumps({"medians": medians, "all": found, "ratio": ratio}))


if __name__ == "__main__":
    main()
