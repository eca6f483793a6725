"""What checkpoints cost the training: steps per second with one every 5 s against none.

    python -m tests.bench.checkpoints [--rounds 3] [--seconds 21] [--every-s 5] [--out FILE]

Two workers on the table of `works.py`: its small mlp, and one of 10 million parameters. Rounds
alternate, medians are compared; the first 20 steps and the save at the end are left out. The loop's
own share is what it spends itself: checking, copying, starting the thread. The rest of the cost is
what the writing takes from the workers' cores.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distrain.train.job import TrainJob
from tests.bench.works import MLP, write_work

MODELS: dict[str, list[int]] = {"mlp": [256, 256], "mlp of 10 million": [3100, 3100]}
NUM_WORKERS = 2
WARM_UP_STEPS = 20


def run(prepared: Path, hidden: list[int], every_s: float | None, seconds: float) -> dict[str, Any]:
    """Train for a while and return `steps_per_s`, `own_share` and `num_checkpoints`."""
    with tempfile.TemporaryDirectory(dir=prepared.parent) as name:
        folder = Path(name)
        job = TrainJob(
            run_dir=str(folder / "run"),
            prepared_dir=str(prepared),
            model={"name": "mlp", "hidden": hidden},
            global_batch_size=MLP["batch"],
            epochs=10_000,
            metrics=[],
            evaluate_every_epochs=None,
            checkpoint_every_s=every_s,
        )
        context = multiprocessing.get_context("spawn")
        workers = [
            context.Process(target=_worker, args=(rank, job, folder, seconds))
            for rank in range(NUM_WORKERS)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        found: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return found


def _worker(rank: int, job: TrainJob, folder: Path, seconds: float) -> None:
    import torch.distributed as dist

    from distrain.train.loop import train
    from distrain.train.saving import Saver
    from distrain.train.world import World

    begun = _timed(Saver, "begin")
    stamps: list[float] = []

    def stamp() -> bool:
        stamps.append(time.perf_counter())
        has_begun = len(stamps) > WARM_UP_STEPS
        return has_begun and stamps[-1] - stamps[WARM_UP_STEPS] > seconds

    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=NUM_WORKERS
    )
    train(job, World(NUM_WORKERS, rank, rank, device="cpu"), None, stamp)
    if rank == 0:
        wall_s = stamps[-1] - stamps[WARM_UP_STEPS]
        result = {
            "steps_per_s": (len(stamps) - 1 - WARM_UP_STEPS) / wall_s,
            "own_share": sum(begun) / wall_s,
            "num_checkpoints": len(begun),
        }
        (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    dist.barrier()
    sys.stdout.flush()
    # gloo's threads may abort a process that ends in the usual way.
    os._exit(0)


def _timed(owner: type, name: str) -> list[float]:
    """Return a list that takes the seconds of each call of a method from now on."""
    times: list[float] = []
    method: Callable[..., Any] = getattr(owner, name)

    def timed(*args: Any) -> None:
        started = time.perf_counter()
        method(*args)
        times.append(time.perf_counter() - started)

    setattr(owner, name, timed)
    return times


def compare(prepared: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure each model with and without checkpoints, in turn."""
    figures: dict[str, Any] = {}
    for name, hidden in MODELS.items():
        runs: dict[str, list[dict[str, Any]]] = {"with": [], "without": []}
        for number in range(options.rounds):
            for kind, every_s in (("with", options.every_s), ("without", None)):
                found = run(prepared, hidden, every_s, options.seconds)
                runs[kind].append(found)
                print(
                    f"round {number + 1}  {name:20} {kind:8} {found['steps_per_s']:8.1f} steps/s  "
                    f"{found['num_checkpoints']} checkpoints, own share {found['own_share']:.4f}",
                    flush=True,
                )
        medians = {
            kind: statistics.median(found["steps_per_s"] for found in runs[kind]) for kind in runs
        }
        figures[name] = {
            "steps_per_s": medians,
            "ratio": medians["with"] / medians["without"],
            "own_share": statistics.median(found["own_share"] for found in runs["with"]),
            "all": runs,
        }
    return figures


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=21.0)
    parser.add_argument("--every-s", type=float, default=5.0)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        figures = compare(write_work(Path(name) / "data", MLP) / "prepared", options)
    for name, found in figures.items():
        print(
            f"{name}: a checkpoint every {options.every_s:g} s against none: "
            f"{found['ratio']:.3f} of the steps per second; the loop's own share "
            f"{found['own_share']:.2%}"
        )
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"every_s": options.every_s, **figures}, indent=1) + "\n"
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
