"""The peer "Ray Train": a TorchTrainer fed by `iter_torch_batches`, as Ray's tutorials write it.

`python -m tests.bench.peer_ray_train PARQUET_FOLDER SPEC_JSON` prints one JSON line with the
steady rows per second of two workers.
"""

import json
import os
import sys
import tempfile
import time
from typing import Any

import numpy as np

from distrain.ray_token import ensure_token


def train_fn_per_worker(config: dict[str, Any]) -> dict[str, float]:
    """Train with plain DDP on this worker's shard; returns rows and seconds past the warm-up."""
    import ray.train
    import torch
    from ray.train.torch import prepare_model
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(0)
    width, classes = config["hidden"], config["num_classes"]
    layers: list[nn.Module] = []
    for inputs, outputs in zip([config["num_features"], *width], width, strict=False):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    model = prepare_model(nn.Sequential(*layers, nn.Linear(width[-1], classes)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss_of = nn.CrossEntropyLoss()
    world = ray.train.get_context().get_world_size()
    shard = ray.train.get_dataset_shard("train")
    started, step, rows = 0.0, 0, 0
    for _ in range(config["epochs"]):
        for batch in shard.iter_torch_batches(batch_size=config["batch"] // world):
            loss = loss_of(model(batch["x"]), batch["y"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step == config["warmup_steps"]:
                started = time.perf_counter()
            elif step > config["warmup_steps"]:
                rows += len(batch["y"]) * world
    return {"rows": float(rows), "seconds": time.perf_counter() - started}


def main() -> None:
    """Start a Ray of its own, train, print the figures."""
    folder, spec = sys.argv[1], json.loads(sys.argv[2])
    os.environ["RAY_TRAIN_V2_ENABLED"] = "1"
    import ray
    from ray.data.preprocessors import Concatenator
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    ensure_token()  # before Ray does: it would let others read the token
    ray.init(
        address="local",
        num_cpus=spec["num_workers"] + 2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    features = [f"f{number}" for number in range(spec["num_features"])]
    rows = ray.data.read_parquet(folder)
    rows = Concatenator(columns=features, output_column_name="x", dtype=np.float32).transform(rows)
    with tempfile.TemporaryDirectory() as storage:
        result = TorchTrainer(
            train_fn_per_worker,
            train_loop_config=spec,
            scaling_config=ScalingConfig(num_workers=spec["num_workers"]),
            run_config=RunConfig(name="peer", storage_path=storage),
            torch_config=TorchConfig(backend="gloo"),
            datasets={"train": rows},
        ).fit()
    figures = result.return_value
    print(json.dumps({"rows_per_s": figures["rows"] / figures["seconds"]}))
    ray.shutdown()


if __name__ == "__main__":
    main()
