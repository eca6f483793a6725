"""A packaged model as an MLflow model that plain `mlflow.pyfunc.load_model` loads.

```
MLmodel, requirements.txt, ...    MLflow's own
input_example.json                raw rows
data/<packaged model>             see `packaged.py`; safetensors and JSON, no pickle
code/distrain_loader.py           copy of `pyfunc_loader.py`
code/distrain_sources.zip         distrain's own sources, used only where it is not installed
```

Loading goes through a small module under a name of its own instead of `distrain.track...` with a
copy of the package on the path, because MLflow puts `code/` in front of an installed distrain,
which a copy there would hide.
"""

import importlib
import importlib.metadata
import io
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import distrain
from distrain.data.features import Transform
from distrain.track.clean_process import check_in_clean_process, warm_up
from distrain.track.describe import column_type
from distrain.track.packaged import Predictor
from distrain.track.packaged_reading import USER_CODE, read_description
from distrain.track.pyfunc_loader import SOURCES
from distrain.track.tracking_server import load_mlflow
from distrain.track.user_code import imported_modules

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

LOADER = "distrain_loader"
EXAMPLE_ROWS = 3

_REQUIREMENTS = ("mlflow", "numpy", "pandas", "pyarrow", "safetensors", "torch")
# So that the same sources give the same bytes.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def build_pyfunc(folder: Path, packaged: Path, example: Any) -> None:
    """Write an MLflow model, load it in a clean process, and compare what it predicts there.

    Args:
        folder: where to write; it must not exist, or be empty.
        packaged: the packaged model.
        example: some raw rows, as they are in the source: an Arrow table; or arrays by name.

    Raises:
        ModelError: it does not load there, or predicts something else than the packaged one.
    """
    warm_up()
    load_mlflow()
    import mlflow.pyfunc

    predictor = Predictor.load(packaged)
    transform = predictor.transform
    rows, shown = _example(example, transform)
    with tempfile.TemporaryDirectory() as temporary:
        mlflow.pyfunc.save_model(
            folder,
            loader_module=LOADER,
            data_path=str(packaged),
            code_paths=[str(path) for path in _write_code(Path(temporary))],
            signature=signature_of(transform),
            input_example=shown,
            pip_requirements=requirements(_needed_modules(packaged)),
            metadata=_metadata(packaged),
        )
    check_in_clean_process(folder, predictor, rows)


def _example(example: Any, transform: Transform) -> tuple[Any, Any]:
    """Return the rows that the model is tried on, and what it is shown with."""
    if transform.inputs is not None:
        rows = {name: values[:EXAMPLE_ROWS] for name, values in example.items()}
        return rows, rows["x"] if transform.inputs["form"] == "tensor" else rows
    wanted = [*transform.id_columns, *transform.input_columns]
    table = example.slice(0, EXAMPLE_ROWS).select([n for n in wanted if n in example.column_names])
    return table, table.to_pandas()


def signature_of(transform: Transform) -> "ModelSignature":
    """Return the MLflow signature of a model that takes raw rows, or tensors.

    Inputs are of type `any`: MLflow refuses whole numbers where it expects `double`, and NaN where
    it expects `long`, while a column of a raw file may be either, depending on the rows in it. The
    transform reads each value as the column's own type.

    Args:
        transform: the fitted transform.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    any_type = AnyType()  # type: ignore[no-untyped-call]  # mlflow has no annotation there

    def any_of(names: list[str]) -> list[ColSpec]:
        return [ColSpec(any_type, name, required=False) for name in names]

    nothing = np.zeros((1, transform.num_outputs), dtype=np.float32)
    decoded = transform.decode(nothing).schema
    predicted = [ColSpec(column_type(str(field.type)), field.name) for field in decoded]
    if transform.inputs is not None:
        return ModelSignature(Schema(_tensors(transform.inputs)), Schema([*predicted]))
    ids = any_of(transform.id_columns)
    return ModelSignature(
        Schema([*ids, *any_of(transform.input_columns)]), Schema([*ids, *predicted])
    )


def _tensors(inputs: Mapping[str, Any]) -> list[Any]:
    from mlflow.types import TensorSpec

    is_one = inputs["form"] == "tensor"
    return [
        TensorSpec(np.dtype(field["dtype"]), (-1, *field["shape"]), None if is_one else name)
        for name, field in inputs["fields"].items()
    ]


def requirements(modules: Iterable[str] = ()) -> list[str]:
    """Return what a model needs to run, pinned to what is installed here.

    Args:
        modules: top-level names of what the model's own code is in, and imports; what is no
            installed distribution is left out.
    """
    owners = importlib.metadata.packages_distributions() if modules else {}
    owned = {owner for module in modules for owner in owners.get(module, ())}
    names = [*_REQUIREMENTS, *sorted(owned - {"distrain", *_REQUIREMENTS})]
    # A local version such as 2.13.0+cpu can be installed from one index only.
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in names]


def _needed_modules(packaged: Path) -> set[str]:
    description = read_description(packaged)
    target = description["model"].get("target")
    if target is None:
        return set()
    sources = [packaged / USER_CODE / name for name in description["user_code"]]
    return {target.partition(":")[0].partition(".")[0], *imported_modules(sources)}


def _metadata(packaged: Path) -> dict[str, Any]:
    description = read_description(packaged)
    transform = description["transform"]
    return {
        "distrain_format": description["format"],
        "weights_sha256": description["weights_sha256"],
        "column_types": transform["column_types"],
        "task": transform["task"],
    }


def _write_code(folder: Path) -> list[Path]:
    """Write what goes into `code/` and return the files."""
    package = Path(distrain.__file__).parent
    loader, sources = folder / f"{LOADER}.py", folder / SOURCES
    loader.write_bytes((package / "track" / "pyfunc_loader.py").read_bytes())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(package.rglob("*.py")):
            entry = zipfile.ZipInfo(path.relative_to(package.parent).as_posix(), _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    sources.write_bytes(packed.getvalue())
    return [loader, sources]
