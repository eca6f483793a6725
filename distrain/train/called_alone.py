"""What a model that a step of the user's own has trained takes and gives when it is called alone.

The step may call it in any way. Where it takes the Dataset's items as they are, or as much of them
as its `forward` names, and gives rows of numbers, it can be packaged like any other.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from torch import nn

from distrain.data.features import Transform
from distrain.data.own.batches import fields_of, form_of
from distrain.data.prepared import PreparedDataset
from distrain.errors import DataError, ModelError
from distrain.models.build import build_model
from distrain.models.feeding import fed
from distrain.train.job import TrainJob

_TRIED_ROWS = 2
_ANY_NUMBER = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def as_called_alone(job: TrainJob, dataset: PreparedDataset, weights_file: str) -> PreparedDataset:
    """Return the dataset with the transform that a model has which is called by itself.

    Where items are inputs and targets, and the model gives what these ask for, it is the dataset's
    own; else what it gives are numbers without names.

    Args:
        job: the run.
        dataset: what it was trained on.
        weights_file: the final weights.

    Raises:
        ModelError: the model does not take the items, or gives no rows of numbers.
        DataError: what it takes of them are not tensors alone.
    """
    assert dataset.own is not None
    transform = dataset.transform
    module = build_model(
        job.model, input_shape=transform.input_shape, num_outputs=transform.num_outputs, seed=0
    )
    module.load_state_dict(safetensors.torch.load_file(weights_file))
    x = inputs_alone(module, dataset)
    rows = min(_TRIED_ROWS, dataset.own.split("train").num_rows)
    width = _num_outputs(module.eval(), x, rows)
    if dataset.own.has_pairs and width == transform.num_outputs:
        return dataset
    name = str(dataset.manifest["dataset"]["sections"]["train"]["target"])
    is_padded = dataset.manifest["dataset"]["collate"] is not None
    form, tensors = form_of(x, name)
    made = Transform(
        "regression",
        [str(number) for number in range(width)],
        target_mean=[0.0] * width,
        target_std=[1.0] * width,
        inputs={"form": form, "fields": fields_of(tensors, is_padded=is_padded)},
    )
    return dataset.with_manifest({**dataset.manifest, "transform": made.to_json()})


def inputs_alone(module: nn.Module, dataset: PreparedDataset) -> Any:
    """Return some rows as `forward` takes them: a batch, or what it names of one.

    Raises:
        ModelError: there is nothing in a batch that it could take.
    """
    assert dataset.own is not None
    split = dataset.own.split("train", as_is=not dataset.own.has_pairs)
    bounds = (0, min(_TRIED_ROWS, split.num_rows))
    [batch] = split.batches([bounds])
    if split.form is not None:
        return split.form.rows(batch, bounds[1]).x
    if isinstance(batch, torch.Tensor):
        return batch
    parameters = inspect.signature(module.forward).parameters.values()
    kinds = {one.kind for one in parameters}
    named = [one for one in parameters if one.kind not in _ANY_NUMBER]
    if isinstance(batch, Mapping):
        takes_all = inspect.Parameter.VAR_KEYWORD in kinds
        names = {one.name for one in named}
        return {str(key): value for key, value in batch.items() if takes_all or key in names}
    if not isinstance(batch, tuple | list):
        raise ModelError(f"a batch is a {type(batch).__name__}, of which forward takes no part")
    needed = [one for one in named if one.default is inspect.Parameter.empty]
    return batch[0] if len(needed) == 1 else tuple(batch[: len(needed)])


def _num_outputs(module: nn.Module, x: Any, num_rows: int) -> int:
    try:
        with torch.inference_mode():
            outputs = fed(module, x)(x)
    except (DataError, ModelError):
        raise
    except Exception as fault:  # the user's code may raise anything; told with its cause
        raise ModelError(f"forward failed on an item: {type(fault).__name__}: {fault}") from fault
    if not isinstance(outputs, torch.Tensor) or outputs.ndim != 2 or len(outputs) != num_rows:
        told = (
            f"a tensor of shape {tuple(outputs.shape)}"
            if isinstance(outputs, torch.Tensor)
            else f"a {type(outputs).__name__}"
        )
        raise ModelError(f"forward gives {told} for {num_rows} items, and not (rows, numbers)")
    return int(outputs.shape[1])
