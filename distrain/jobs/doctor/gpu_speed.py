"""How fast GPUs multiply and exchange: in, nothing; out, TFLOP/s of each and GB/s among them.

It needs torch alone, and runs by itself on a machine with GPUs:

    python -m distrain.jobs.doctor.gpu_speed [cuda|cpu] [PROCESSES]

The last line is one JSON object. Its source is sent to the nodes of a cluster as it is, so it
imports nothing of distrain.
"""

import datetime
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

REPEATS = 5
SIDE = {"cuda": 8192, "cpu": 512}
REDUCED_BYTES = {"cuda": 256 * 2**20, "cpu": 4 * 2**20}
TIMEOUT_S = 100.0


def matmul_tflops(device: str) -> float:
    """Return the best TFLOP/s of some products of two square matrices, in bf16 on a GPU.

    A product of side n takes 2 n^3 operations.

    Args:
        device: such as `cuda:0` or `cpu`.
    """
    import torch

    kind = device.partition(":")[0]
    side = SIDE[kind]
    dtype = torch.bfloat16 if kind == "cuda" else torch.float32
    a = torch.randn(side, side, device=device, dtype=dtype)
    b = torch.randn(side, side, device=device, dtype=dtype)
    torch.mm(a, b)
    best = min(_timed(lambda: torch.mm(a, b), kind) for _ in range(REPEATS))
    return float(2 * side**3 / best / 1e12)


def all_reduce_gb_per_s(device: str) -> float:
    """Return the bus bandwidth of an all-reduce in GB/s; all processes must call.

    It is 2 (n - 1) / n of the buffer over the time, so that it does not depend on the number n of
    processes (source: NVIDIA's nccl-tests, PERFORMANCE.md).

    Args:
        device: this process's.
    """
    import torch
    import torch.distributed as dist

    kind = device.partition(":")[0]
    count = dist.get_world_size()
    buffer = torch.ones(REDUCED_BYTES[kind] // 4, device=device)

    def reduce() -> None:
        dist.all_reduce(buffer)

    reduce()
    best = min(_timed(reduce, kind) for _ in range(REPEATS))
    return REDUCED_BYTES[kind] * 2 * (count - 1) / count / best / 1e9


def measure(kind: str, num: int) -> dict[str, Any]:
    """Return `tflops` of each device and `link` in GB/s among them, None where there is one.

    A process is started for each device, as in training.

    Args:
        kind: `cuda` or `cpu`.
        num: how many devices; on `cpu`, processes.

    Returns:
        That, or `error`: why there is nothing.
    """
    with tempfile.TemporaryDirectory(prefix="gpu-speed-") as folder:
        words = [sys.executable, "-P", __file__, kind, str(num)]
        started = [
            subprocess.Popen(
                [*words, str(rank), f"file://{folder}/meeting"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(num)
        ]
        try:
            told = [process.communicate(timeout=TIMEOUT_S) for process in started]
        except subprocess.TimeoutExpired:
            return {"error": f"the GPUs did not come to an end within {TIMEOUT_S:.0f} s"}
        finally:
            for process in started:
                process.kill()
                process.wait()
    if any(process.returncode for process in started):
        errors = [error.strip().splitlines()[-1] for _, error in told if error.strip()]
        return {"error": (errors or ["a process ended without a word"])[0]}
    values = [json.loads(out.strip().splitlines()[-1]) for out, _ in told]
    return {"tflops": [value["tflops"] for value in values], "link": values[0]["link"]}


def main(words: Sequence[str]) -> None:
    """Measure this machine's GPUs and print it; or, with four words, be one of the processes."""
    kind = words[0] if words else "cuda"
    if len(words) == 4:
        print(json.dumps(_measure_one(kind, int(words[1]), int(words[2]), words[3])))  # noqa: T201
        return
    import torch

    num = int(words[1]) if len(words) > 1 else torch.cuda.device_count()
    measured = measure(kind, num) if num else {"error": "torch sees no GPU here"}
    print(json.dumps(measured))  # noqa: T201


def _measure_one(kind: str, num: int, rank: int, meeting: str) -> dict[str, float | None]:
    import torch
    import torch.distributed as dist

    device = kind if kind == "cpu" else f"cuda:{rank}"
    if kind == "cuda":
        torch.cuda.set_device(rank)
    if num == 1:
        return {"tflops": matmul_tflops(device), "link": None}
    dist.init_process_group(
        "nccl" if kind == "cuda" else "gloo",
        init_method=meeting,
        world_size=num,
        rank=rank,
        timeout=datetime.timedelta(seconds=TIMEOUT_S / 2),
    )
    try:
        # One after the other would hide a power limit that all cards of a node share.
        dist.barrier()
        tflops = matmul_tflops(device)
        dist.barrier()
        return {"tflops": tflops, "link": all_reduce_gb_per_s(device)}
    finally:
        dist.destroy_process_group()


def _timed(work: Any, kind: str) -> float:
    """Return the seconds that some work takes, on the device too."""
    import torch

    if kind == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if kind == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    main(sys.argv[1:])
