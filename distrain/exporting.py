"""A model as a file for other programs, with a description beside it of what goes in and comes out.

```
model.onnx          the network behind the fitted transform: its input is the transform's tensor
model.onnx.json     names, shapes and types of input and output, the features in order, how outputs
                    become predictions, and the whole transform
```

The file is loaded again and compared with the model before it gets its name.
"""

import contextlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import torch

from distrain.data.features import Transform
from distrain.display import Display
from distrain.errors import ConfigError, ModelError
from distrain.finish import PYFUNC
from distrain.foreign import read_json
from distrain.models import portable
from distrain.predict import packaged_folder, told_code
from distrain.predictions_file import check_out, new_file
from distrain.track.model_registry import registry_of
from distrain.track.packaged import Predictor
from distrain.track.packaged_reading import read_description
from distrain.track.reachable import check_reachable
from distrain.track.tensor_rows import told

RELATIVE_TOLERANCE: Final = 1e-4
ABSOLUTE_TOLERANCE: Final = 1e-5
# What the file is tried with: one row, as a server gets them, and numbers that no batch has.
_TRIED_ROWS: Final = (1, 2, 7)
_EXAMPLE: Final = "input_example.json"

Array = npt.NDArray[Any]


@final
@dataclass(frozen=True)
class ExportResult:
    """A model that was written for other programs.

    Attributes:
        out: the file, absolute.
        description: the file that describes it.
        form: `onnx` or `torch`.
        num_rows: rows on which it was compared with the model.
        difference: the largest between an output of the file and of the model.
    """

    out: Path
    description: Path
    form: portable.Form
    num_rows: int
    difference: float

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {
            "out": str(self.out),
            "description": str(self.description),
            "format": self.form,
            "compared_rows": self.num_rows,
            "largest_difference": self.difference,
        }


def export(
    model: str, *, form: portable.Form | None, out: Path, storage: Path, display: Display
) -> ExportResult:
    """Write a registered model, or that of a run, as a file for other programs.

    Args:
        model: `models:/name@alias`, `models:/name/3`, or a run's folder or name.
        form: of the file; None: by its ending.
        out: new file to write; a description is written beside it, `<out>.json`.
        storage: the folder that runs are kept in.
        display: what is told meanwhile.

    Raises:
        DistrainError: the input is at fault, what was named cannot be reached, or the model cannot
            be exported, or gives something else there; nothing is left.
    """
    form = _form_of(form, out)
    out = check_out(out, (portable.ENDINGS[form],))
    description = check_out(out.with_name(f"{out.name}.json"), (".json",))
    portable.check_installed(form)
    display.stage("loading the model")
    server = registry_of(model, storage)
    if model.startswith("models:"):
        check_reachable(server)
    with tempfile.TemporaryDirectory(prefix="distrain-model-") as temporary:
        folder = packaged_folder(model, server, storage, Path(temporary))
        predictor = Predictor.load(folder)
        _check_one_input(predictor.transform, model)
        for note in told_code(read_description(folder)["model"].get("target")):
            display.note(note)
        inputs = [*_made_inputs(predictor.transform), *_example_input(folder, predictor)]
    display.stage("exporting it, and comparing what was written with it")
    # The inner file gets its name first: there is no description of a model that is not there.
    with new_file(description) as beside, new_file(out) as unfinished:
        difference = _write_compared(predictor, form, unfinished, inputs)
        about = {"model": model, **describe(predictor, form), "largest_difference": difference}
        beside.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return ExportResult(out, description, form, sum(map(len, inputs)), difference)


def describe(predictor: Predictor, form: portable.Form) -> dict[str, Any]:
    """Return what goes into an exported model and what comes out, as plain JSON.

    `distrain.data.features.Transform.from_json(description["transform"]).apply(table)["x"]` is the
    input for raw rows.

    Args:
        predictor: the model.
        form: of the file.
    """
    transform = predictor.transform
    image = transform.image
    entry: dict[str, Any] = {
        "name": portable.INPUT,
        "dtype": _input_dtype(transform).name,
        "shape": ["rows", *transform.input_shape],
    }
    if image is not None:
        entry["column"] = image["column"]
    elif transform.inputs is None:
        entry["features"] = transform.feature_names
    return {
        "format": form,
        "weights_sha256": predictor.weights_sha256,
        "task": transform.task,
        "inputs": [entry],
        "outputs": [_output(transform)],
        "columns": transform.input_columns,
        "transform": transform.to_json(),
        "relative_tolerance": RELATIVE_TOLERANCE,
        "absolute_tolerance": ABSOLUTE_TOLERANCE,
    }


def _check_one_input(transform: Transform, model: str) -> None:
    """Refuse a model of a Dataset that takes several tensors, or rows of any size.

    Raises:
        ModelError: it does.
    """
    inputs = transform.inputs
    if inputs is None:
        return
    if inputs["form"] != "tensor" or -1 in inputs["fields"]["x"]["shape"]:
        raise ModelError(
            f"it takes {told(inputs)}",
            where=model,
            expected="a model of one tensor, with rows of one shape",
            mend="Load it by mlflow.pyfunc.load_model, which takes several",
        )


def _input_dtype(transform: Transform) -> np.dtype[Any]:
    name = "float32" if transform.image is None else "uint8"
    if transform.inputs is not None:
        name = str(transform.inputs["fields"]["x"]["dtype"])
    return np.dtype(name)


def _output(transform: Transform) -> dict[str, Any]:
    shape = ["rows", transform.num_outputs]
    if transform.task == "classification":
        return {
            "name": "logits",
            "dtype": "float32",
            "shape": shape,
            "classes": transform.classes,
            "meaning": "the softmax over a row is the probability of each class",
        }
    return {
        "name": "values",
        "dtype": "float32",
        "shape": shape,
        "targets": transform.targets,
        "mean": transform.target_mean,
        "deviation": transform.target_std,
        "meaning": "value x deviation + mean is the target in its own unit",
    }


def _form_of(form: portable.Form | None, out: Path) -> portable.Form:
    if form is not None:
        return form
    found = [name for name, ending in portable.ENDINGS.items() if ending == out.suffix.lower()]
    if not found:
        raise ConfigError(
            f"the extension {out.suffix!r} names no form of a model",
            where=f"--out {out}",
            expected=f"a file that ends in {' or '.join(portable.ENDINGS.values())}",
            mend=f"Write {out.with_suffix('.onnx').name}",
        )
    return found[0]


def _made_inputs(transform: Transform) -> list[Array]:
    """Return rows that a network may be given, the same ones each time."""
    random = np.random.default_rng(0)
    shapes = [(rows, *transform.input_shape) for rows in _TRIED_ROWS]
    dtype = _input_dtype(transform)
    if dtype.kind == "f":
        return [random.standard_normal(shape, dtype=np.float32).astype(dtype) for shape in shapes]
    # Of pixels all are there; other whole numbers may be places in a small table.
    highest = 256 if dtype == np.uint8 else 2
    return [random.integers(0, highest, shape).astype(dtype) for shape in shapes]


def _example_input(packaged: Path, predictor: Predictor) -> list[Array]:
    """Return the raw rows that are kept with the model, as its input; none where none are.

    One that cannot be read is passed over: the model is compared on other rows in any case.
    """
    # In MLflow's folder, below which the packaged one lies, or beside which in a run's.
    beside = [packaged.parent / PYFUNC, *packaged.parents[:2]]
    for folder in beside:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            stored = read_json(folder / _EXAMPLE)
            rows = [dict(zip(stored["columns"], row, strict=True)) for row in stored["data"]]
            return [predictor.inputs(rows)]
    return []


def _write_compared(
    predictor: Predictor, form: portable.Form, path: Path, inputs: list[Array]
) -> float:
    """Write the file, and return the largest difference between what it gives and the model.

    Raises:
        ModelError: it cannot be written, does not run, or gives something else.
    """
    network = portable.Portable(predictor.module, predictor.transform.image).eval()
    name = _output(predictor.transform)["name"]
    several = next(x for x in inputs if len(x) > 1)
    portable.write(network, form, path, torch.from_numpy(several), name)
    largest = 0.0
    for x in inputs:
        expected, found = predictor.outputs(x), portable.run(form, path, x)
        difference = float(np.abs(found - expected).max())
        largest = max(largest, difference)
        if not np.allclose(found, expected, RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE, equal_nan=True):
            raise ModelError(
                f"the exported model gives other outputs on {len(x)} rows: they differ by up to "
                f"{difference:.3g}",
                where=f"--format {form}",
                expected=f"the model's own, to {RELATIVE_TOLERANCE:g} of their size and "
                f"{ABSOLUTE_TOLERANCE:g}",
                mend="Does forward depend on chance, on the number of rows, or on values that "
                "branches look at?",
            )
    return largest
