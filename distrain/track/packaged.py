"""A trained model as a folder: weights, architecture, fitted transform, the user's sources.

```
model.safetensors    the weights
model.json           format, model section, threads, fitted transform
source.json          how the files of the training data were read, where that is known
training_rows.npy    keys of the rows it was trained on, where they are known
user_code/           modules of a model of the user's own, where there is one
```

Raw rows, as they are in the source files, enter `Predictor.predict`; predictions leave. Nothing is
pickled. The same code computes the test metrics after training, so that metrics recomputed from
predictions agree to the last digit. No mlflow, ray or pandas here.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import safetensors.torch
import torch

from distrain.data.features import Transform, check_columns
from distrain.data.plan import evaluation_batches, filled_up
from distrain.data.tensors import to_tensor, to_tensors
from distrain.durable import write_atomically
from distrain.errors import ModelError
from distrain.foreign import read_json
from distrain.models.build import InputNormalizer, build_model
from distrain.models.feeding import fed
from distrain.models.weights import weights_sha256
from distrain.track.packaged_reading import (
    DESCRIPTION,
    FORMAT_VERSION,
    MALFORMED,
    SOURCE,
    USER_CODE,
    WEIGHTS,
    check_shapes,
    malformed,
    read_description,
    read_weights,
    transform_of,
)
from distrain.track.raw_rows import column_names, to_table
from distrain.track.tensor_rows import batch_of
from distrain.track.user_code import save_user_code, saved_code_importable

Array = npt.NDArray[Any]


def save_packaged(
    folder: Path,
    *,
    module_state: Mapping[str, torch.Tensor],
    model_spec: Mapping[str, Any],
    transform: Transform,
    threads: int,
    user_code: Sequence[Path] = (),
) -> None:
    """Write a model into a folder; `model.json` is written last.

    Args:
        folder: made where it is missing.
        module_state: the trained state dict, on any device.
        model_spec: the model section, `{"name": ...}` or `{"target": ..., "args": ...}`.
        transform: fitted transform between raw columns and tensors.
        threads: threads inside an operation; part of the bits.
        user_code: sources of a model of the user's own, as `user_code.find_user_code` gives them.

    Raises:
        ModelError: the state holds something else than tensors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.cpu().contiguous().clone() for name, tensor in _checked(module_state)}
    safetensors.torch.save_file(state, folder / WEIGHTS)
    description = {
        "format": FORMAT_VERSION,
        "model": dict(model_spec),
        "threads": threads,
        "weights_sha256": weights_sha256(state),
        "user_code": save_user_code(user_code, folder / USER_CODE),
        "transform": transform.to_json(),
    }
    _write_json(folder / DESCRIPTION, description)


def save_source(folder: Path, format_: str | None, read: Mapping[str, Any]) -> None:
    """Store how the source files were read, so that files for prediction are read alike.

    Args:
        folder: of the packaged model.
        format_: as under `data.format`; None: by extension.
        read: the `data.read` section as plain values.
    """
    _write_json(folder / SOURCE, {"format": format_, "read": dict(read)})


def read_source(folder: Path) -> tuple[str | None, dict[str, Any]]:
    """Return what `save_source` stored; nothing where it stored nothing.

    Raises:
        ModelError: it is not what was stored.
    """
    path = folder / SOURCE
    try:
        stored = read_json(path)
        format_, read = stored["format"], dict(stored["read"])
    except FileNotFoundError:
        return None, {}
    except (OSError, *MALFORMED) as error:
        raise malformed(path, f"it cannot be read ({error})") from error
    return format_, read


def find_packaged(folder: Path) -> Path | None:
    """Return the packaged model within a folder, such as an MLflow model's; None: there is none."""
    found = sorted(folder.rglob(DESCRIPTION), key=lambda path: len(path.parts))
    return found[0].parent if found else None


@final
class Predictor:
    """A packaged model, ready to predict.

    Args:
        module: the network with its weights, on the CPU.
        transform: between raw columns and tensors.
        threads: threads inside an operation.
        device: where it computes.
    """

    def __init__(
        self, module: torch.nn.Module, transform: Transform, threads: int, device: str = "cpu"
    ) -> None:
        self.transform = transform
        self._module = module.eval().to(device)
        self._normalizer = InputNormalizer(transform.image, device)
        self._threads = threads
        self._device = device

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> "Predictor":
        """Return the model in a folder.

        Args:
            folder: the packaged model's.
            device: where it computes.

        Raises:
            ModelError: there is none, it is damaged, or its code does not fit its weights.
        """
        description = read_description(folder)
        transform, state = transform_of(folder, description), read_weights(folder / WEIGHTS)
        if "target" not in description["model"]:
            check_shapes(folder, description["model"], transform, state)
        with saved_code_importable(folder / USER_CODE, description["user_code"]):
            # The seed does not matter: the weights are replaced.
            module = build_model(
                description["model"],
                input_shape=transform.input_shape,
                num_outputs=transform.num_outputs,
                seed=0,
                columns=transform.column_widths,
            )
        _load_weights(module, state, folder, description["weights_sha256"])
        return cls(module, transform, description["threads"], device)

    @property
    def weights_sha256(self) -> str:
        """The SHA-256 of the weights as they are in memory."""
        return weights_sha256(self._module)

    @property
    def module(self) -> torch.nn.Module:
        """The network with its weights, in eval mode."""
        return self._module

    @property
    def num_parameters(self) -> int:
        """The number of the network's parameters."""
        return sum(parameter.numel() for parameter in self._module.parameters())

    @property
    def prediction_names(self) -> list[str]:
        """The names of the columns that predictions consist of, without ids."""
        nothing = np.zeros((0, self.transform.num_outputs), dtype=np.float32)
        return list(self.transform.decode(nothing).column_names)

    def predict(self, rows: Any) -> pa.Table:
        """Return predictions for raw rows: id columns, then `prediction` and what goes with it.

        Args:
            rows: rows as in the source files: an Arrow table, a pandas DataFrame, a list of dicts
                or a dict of columns; more columns than needed are left alone. Of a model that was
                trained on a Dataset: arrays as `tensor_rows.py` has them.

        Raises:
            DataError: a column that the model needs is missing or holds something else.
        """
        transform = self.transform
        if transform.inputs is not None:
            return transform.decode(self.outputs(batch_of(rows, transform.inputs)))
        table = self._table(rows)
        predictions = transform.decode(self.outputs(transform.apply(table)["x"]))
        ids = [name for name in transform.id_columns if name in table.column_names]
        for place, name in enumerate(ids):
            predictions = predictions.add_column(place, name, table.column(name))
        return predictions

    def inputs(self, rows: Any) -> Array:
        """Return what the network gets for raw rows, `(rows, ...)`; arguments as `predict`."""
        x: Array = self.transform.apply(self._table(rows))["x"]
        return x

    def outputs(self, x: Any) -> npt.NDArray[np.float32]:
        """Return the network's outputs for prepared inputs.

        Rows are taken in evaluation's batches, and filled up as there, so that the bits of a row do
        not depend on the rows beside it.

        Args:
            x: `(rows, features)` float32, or `(rows, channels, height, width)` uint8; or a tuple or
                a dict of arrays, where the model takes several.

        Returns:
            `(rows, classes or targets)` float32.
        """
        with _num_threads(self._threads), torch.inference_mode():
            if not isinstance(x, np.ndarray):
                given: Array = fed(self._module, x)(to_tensors(x)).to(torch.float32).numpy()
                return given
            found = np.empty((len(x), self.transform.num_outputs), dtype=np.float32)
            for start, stop in evaluation_batches(len(x)):
                found[start:stop] = self._forward(x[start:stop])
        return found

    def _table(self, rows: Any) -> pa.Table:
        transform = self.transform
        table = to_table(rows, (*transform.id_columns, *transform.input_columns))
        if missing := set(transform.input_columns) - set(table.column_names):
            check_columns(column_names(rows), [c for c in transform.input_columns if c in missing])
        return table

    def _forward(self, batch: Array) -> Array:
        rows = filled_up(len(batch))
        filled = batch if len(rows) == len(batch) else batch[rows]
        given = self._normalizer(to_tensor(filled).to(self._device))
        outputs: Array = self._module(given).to("cpu", torch.float32).numpy()
        return outputs[: len(batch)]


def _checked(state: Mapping[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise ModelError(
                f"the model's state holds a {type(value).__name__}",
                where=name,
                expected="tensors only, which can be stored without pickle",
                mend="Keep other state out of state_dict (get_extra_state)",
            )
        yield name, value.detach()


def held_weights_sha256(folder: Path) -> str:
    """Return the SHA-256 of the weights that a packaged model holds, whatever it says of them.

    Raises:
        ModelError: they cannot be read.
    """
    return weights_sha256(read_weights(folder / WEIGHTS))


def _load_weights(
    module: torch.nn.Module, state: Mapping[str, torch.Tensor], folder: Path, sha256: str
) -> None:
    path = folder / WEIGHTS
    if weights_sha256(state) != sha256:
        raise ModelError(
            "the weights are not the ones that were saved",
            where=str(path),
            expected=f"SHA-256 {sha256}",
            mend="Take the model from the registry again",
        )
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ModelError(
            f"the model's code does not fit its weights ({error})",
            where=str(path),
            expected="the code that the model was trained with",
            mend=f"Put back {folder / USER_CODE} as it was saved, or take the model from the "
            "registry again",
        ) from error


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_atomically(path, text.encode())


@contextmanager
def _num_threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
