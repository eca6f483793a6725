"""The part of a prediction that runs on Ray Data: blocks of raw rows, each with its predictions.

In: raw rows in blocks, and the files of a packaged model. Out: the same blocks with more columns,
packed, which carry what they hold that training had not.
"""

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import pyarrow as pa

from distrain.data.plan import EVALUATION_BATCH_ROWS
from distrain.data.unlike import Unlike
from distrain.errors import DataError
from distrain.track.packaged import Predictor

if TYPE_CHECKING:
    import ray

BLOCK_ROWS: Final = 16 * EVALUATION_BATCH_ROWS

Files = Mapping[str, bytes]


def predicted_blocks(raw: "ray.data.Dataset", files: Files, num_rows: int) -> "ray.data.Dataset":
    """Return rows with their predictions, in packed blocks of so many rows as a unit of work has.

    Each free GPU has an actor of its own; where none is free, tasks on CPUs do it.

    Args:
        raw: the rows themselves, in order, in blocks of BLOCK_ROWS.
        files: the packaged model's files, by path within it.
        num_rows: how many rows, about.
    """
    import ray

    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    workers = num_gpu_workers(free.get("GPU", 0.0), num_rows)
    kept = ray.put(files)
    how: dict[str, Any] = {"batch_format": "pyarrow", "zero_copy_batch": True}
    if not workers:
        return raw.map_batches(_PredictBlock(kept), batch_size=None, **how)
    how |= {"fn_constructor_args": (kept,), "compute": ray.data.ActorPoolStrategy(size=workers)}
    # With GPUs Ray Data asks for a batch size; blocks of so many rows are left as they are.
    return raw.map_batches(_PredictBlock, batch_size=BLOCK_ROWS, num_gpus=1, **how)


def num_gpu_workers(free_gpus: float, num_rows: int) -> int:
    """Return on how many GPUs rows are predicted, each by a worker of its own; 0: on CPUs.

    Args:
        free_gpus: of the cluster, now.
        num_rows: to predict, about; a worker gets whole blocks.
    """
    return min(int(free_gpus), max(1, -(-num_rows // BLOCK_ROWS)))


@final
class _PredictBlock:
    """Predicts a block of rows in a task or an actor; each process loads the model once.

    Args:
        files: reference to the packaged model's files.
    """

    def __init__(self, files: "ray.ObjectRef[Files]") -> None:
        self._files = files

    def __call__(self, rows: pa.Table) -> pa.Table:
        from distrain.data.runs import Run, pack_fault, pack_run

        try:
            predictor = _loaded_once(self._files)
            predicted = with_predictions(predictor, rows)
            return pack_run(Run(0, 0, Unlike.of(predictor.transform, rows).noted_on(predicted)))
        except DataError as fault:
            return pack_fault((0, 0), fault)


@functools.lru_cache(maxsize=1)
def _loaded_once(files: "ray.ObjectRef[Files]") -> Predictor:
    import ray

    return load_from_files(ray.get(files), _device())


def _device() -> str:
    """Return the GPU that Ray has given this process, else the CPU."""
    import ray
    import torch

    has_gpu = bool(ray.get_runtime_context().get_accelerator_ids().get("GPU"))
    return "cuda" if has_gpu and torch.cuda.is_available() else "cpu"


def load_from_files(files: Files, device: str = "cpu") -> Predictor:
    """Return a model from the files of its packaged folder.

    Args:
        files: by path within the folder.
        device: where it computes.
    """
    with tempfile.TemporaryDirectory(prefix="distrain-model-") as temporary:
        for name, content in files.items():
            path = Path(temporary) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return Predictor.load(Path(temporary), device)


def with_predictions(predictor: Predictor, rows: pa.Table) -> pa.Table:
    """Return rows with their predictions in further columns."""
    predicted = predictor.predict(rows)
    for name in predictor.prediction_names:
        rows = rows.append_column(name, predicted.column(name))
    return rows
