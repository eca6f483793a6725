"""A registered model -> predictions for raw files, on Ray Data; row order and columns are kept.

    plan      the model is found and loaded, the files' columns are checked     (driver, no Ray)
    read      the raw files, in order                                           (Ray Data)
    predict   blocks of a fixed number of rows, on each free GPU, else on CPUs  (Ray Data)
    write     one file, in order, under a temporary name; renamed when whole    (driver)

A block is a whole number of evaluation's batches, so every row stands in the batch in which
`mlflow.pyfunc` would predict it, and gets the same bits; on a GPU it gets that GPU's.
"""

import contextlib
import tempfile
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import pyarrow as pa

from distrain.config.data import ReadSettings
from distrain.config.names import format_named
from distrain.data.features import check_columns
from distrain.data.findings import Finding
from distrain.data.opened import OpenedSource
from distrain.data.opening import open_source
from distrain.data.reading import CannotCut
from distrain.data.units import cut_into_units
from distrain.data.unlike import Unlike
from distrain.door import make_callable
from distrain.errors import ConfigError, DataError, ModelError, first_line
from distrain.object_store.bucket import Bucket
from distrain.object_store.files import fetch
from distrain.object_store.place import Place
from distrain.object_store.runs import cannot_tell, named_run
from distrain.predict_blocks import BLOCK_ROWS, Files, load_from_files, predicted_blocks
from distrain.predictions_file import check_out, open_writer
from distrain.track.model_versions import download_model, find_version
from distrain.track.packaged import Predictor, find_packaged, read_source
from distrain.track.packaged_reading import (
    DESCRIPTION,
    SOURCE,
    USER_CODE,
    WEIGHTS,
    malformed,
    read_description,
)
from distrain.track.runs import find_run_dir
from distrain.track.tensor_rows import told
from distrain.track.tracking_server import TrackingServer

# `distrain.predict(...)` predicts: see `distrain.door`.
make_callable(__name__)

TEXT_FORMATS = ("csv", "tsv", "json", "jsonl")


@final
@dataclass(frozen=True)
class PredictResult:
    """Predictions that were written.

    Attributes:
        num_rows: how many.
        out: the file, absolute.
        unlike_training: columns with values that training had none of, and what was done.
    """

    num_rows: int
    out: Path
    unlike_training: tuple[Finding, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        found = [finding.to_json() for finding in self.unlike_training]
        return {"num_rows": self.num_rows, "out": str(self.out), "unlike_training": found}


@final
@dataclass(frozen=True)
class RowsToPredict:
    """A model and raw rows for it, checked: all that can be found out without Ray.

    Attributes:
        files: the packaged model's files, by path within it.
        opened: the source.
        column_types: as what the source's columns are read.
        code: import path of the user's own code that the model is built by; None: it has none.
    """

    files: Files
    opened: OpenedSource
    column_types: Mapping[str, str]
    code: str | None = None

    @property
    def notes(self) -> list[str]:
        """Return whose code is run, in at most one line."""
        return told_code(self.code)


def told_code(code: str | None) -> list[str]:
    """Return whose code a model runs, in at most one line.

    Args:
        code: import path of the user's own code that it is built by; None: it has none.
    """
    told = f"the model runs code of its own, which came with it: {code}"
    return [told] if code is not None else []


@final
@dataclass(frozen=True)
class PredictPlan:
    """What is to be predicted, and where to.

    Attributes:
        rows: the model and its rows.
        out: the file to write, absolute.
    """

    rows: RowsToPredict
    out: Path


def plan_prediction(
    model: str, source: str, out: Path, *, server: TrackingServer, storage: Path
) -> PredictPlan:
    """Find the model, look at the source, and check that they fit.

    Args:
        model: `models:/name@alias`, `models:/name/3`, or a run's folder or name.
        source: path, glob, directory, URI or built-in name of raw rows.
        out: a new file; its extension names the format.
        server: where a registered model is looked for.
        storage: where a run is looked for.

    Raises:
        ConfigError: there is no such model, or the file cannot be written.
        DataError: there are no such rows, or columns are missing.
        ModelError: the model is damaged.
        TrackingError: the registry, or the model's files, cannot be reached.
    """
    out = check_out(out)
    return PredictPlan(rows_to_predict(model, source, server=server, storage=storage), out)


def rows_to_predict(
    model: str, source: str, *, server: TrackingServer, storage: Path, has_targets: bool = False
) -> RowsToPredict:
    """Find the model, look at the source, and check that they fit.

    Args:
        model: `models:/name@alias`, `models:/name/3`, or a run's folder or name.
        source: path, glob, directory, URI or built-in name of raw rows.
        server: where a registered model is looked for.
        storage: where a run is looked for.
        has_targets: whether the rows must have the target columns, too.

    Raises:
        DistrainError: as `plan_prediction`.
    """
    with tempfile.TemporaryDirectory(prefix="distrain-model-") as temporary:
        folder = packaged_folder(model, server, storage, Path(temporary))
        predictor = Predictor.load(folder)
        files = _model_files(folder)
        code = read_description(folder)["model"].get("target")
        stored_format, stored_read = read_source(folder)
    transform = predictor.transform
    if transform.inputs is not None:
        raise ModelError(
            "it was trained on a torch Dataset, and takes tensors instead of raw columns: "
            + told(transform.inputs),
            where=model,
            expected="a model that was trained on files (data.source)",
            mend="Load it by mlflow.pyfunc.load_model and give its predict the arrays that the "
            "Dataset gives",
        )
    opened = open_source(
        source,
        _format_of(source, stored_format),
        _read_settings(folder, stored_read),
        transform.column_types,
    )
    columns = opened.reading.columns
    needed = [*transform.input_columns, *(transform.targets if has_targets else [])]
    check_columns(columns, needed, opened.listing.files[0].uri)
    _check_names(columns, predictor)
    _check_image(opened, transform.image)
    return RowsToPredict(files, opened, _types(opened, transform.column_types), code)


def packaged_folder(model: str, server: TrackingServer, storage: Path, temporary: Path) -> Path:
    """Return the folder of the packaged model that is meant.

    Args:
        model: `models:/name@alias`, `models:/name/3`, or a run's folder or name.
        server: where a registered model is looked for.
        storage: where a run is looked for.
        temporary: a folder for what has to be fetched.

    Raises:
        ConfigError: there is no such model.
        TrackingError: the registry, or the model's files, cannot be reached.
    """
    if model.startswith("models:"):
        folder = download_model(server, find_version(server, model), temporary)
    elif (place := named_run(model, storage)) is not None:
        folder = _fetched(place, temporary)
    else:
        folder = find_run_dir(model, storage) / "model"
    packaged = find_packaged(folder)
    if packaged is None:
        raise ConfigError(
            "there is no distrain model here",
            where=f"{model} ({folder})",
            expected="a model that `distrain train` made",
            mend="Was the run finished? `distrain runs` lists them with their status",
        )
    return packaged


def run_prediction(plan: PredictPlan) -> PredictResult:
    """Predict and write; Ray must be connected.

    Args:
        plan: from `plan_prediction`.

    Returns:
        What was written; on any error nothing is left.

    Raises:
        DataError: a file cannot be read, or a value is not what its column holds.
    """
    try:
        return _run(plan, may_split=True)
    except CannotCut:
        return _run(plan, may_split=False)


def predicted_tables(
    rows: RowsToPredict, *, may_split: bool = True, unlike: Unlike | None = None
) -> Generator[pa.Table]:
    """Yield the rows with their predictions, in order, block by block; Ray must be connected.

    Args:
        rows: from `rows_to_predict`.
        may_split: whether large text files may be cut at line breaks.
        unlike: is added what each block has that training had not.

    Raises:
        CannotCut: they may not; nothing that came so far counts.
        DataError: a file cannot be read, or a value is not what its column holds.
    """
    import ray

    from distrain.data.on_ray import data_context, data_error_in, flat_rows, read_units
    from distrain.data.runs import unpack_run

    reading = replace(rows.opened.reading, column_types=dict(rows.column_types))
    units = cut_into_units(rows.opened.listing, reading, may_split=may_split)
    with data_context(has_small_results=False):
        # Runs begin anew with every unit, and Ray Data cuts blocks by size; these are by rows.
        raw = flat_rows(read_units(units, reading)).repartition(
            target_num_rows_per_block=BLOCK_ROWS, strict=True
        )
        blocks = predicted_blocks(raw, rows.files, rows.opened.num_rows)
        try:
            for packed in blocks.iter_batches(batch_size=None, batch_format="pyarrow"):
                assert isinstance(packed, pa.Table), "asked for Arrow tables"
                for row in range(packed.num_rows):
                    table = unpack_run(packed.slice(row, 1)).table
                    if unlike is not None:
                        unlike.add_noted(table)
                    yield table.replace_schema_metadata(None)
        except ray.exceptions.RayError as fault:
            if "cannot_cut" in str(fault):
                raise CannotCut(rows.opened.listing.files[0].uri) from fault
            raise data_error_in(fault) or fault from fault


def _run(plan: PredictPlan, *, may_split: bool) -> PredictResult:
    num_rows, unlike = 0, Unlike()
    with (
        open_writer(plan.out) as writer,
        contextlib.closing(
            predicted_tables(plan.rows, may_split=may_split, unlike=unlike)
        ) as tables,
    ):
        for table in tables:
            writer.write(table)
            num_rows += table.num_rows
    transform = load_from_files(plan.rows.files).transform
    return PredictResult(num_rows, plan.out, tuple(unlike.findings(transform, num_rows)))


def _model_files(folder: Path) -> dict[str, bytes]:
    """Return the files that a model is loaded from, which was loaded once; no others beside it."""
    paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*"))}
    own = (DESCRIPTION, SOURCE, USER_CODE, WEIGHTS)
    return {
        name.as_posix(): path.read_bytes()
        for name, path in paths.items()
        if name.parts[0] in own and path.is_file()
    }


def _read_settings(folder: Path, stored: Mapping[str, Any]) -> ReadSettings:
    try:
        return ReadSettings(**stored)
    except (TypeError, ValueError) as fault:
        told = f"read is no way to read files ({first_line(fault)})"
        raise malformed(folder / SOURCE, told) from fault


def _fetched(run: Place, temporary: Path) -> Path:
    """Fetch the model of a run at a store, and return its folder."""
    try:
        fetch(Bucket(run), "model/", temporary)
    except OSError as fault:
        raise cannot_tell(run, fault) from fault
    return temporary / "model"


def _format_of(source: str, stored: str | None) -> str | None:
    """Return the training data's format where the source's name says none."""
    path = Path(source)
    says_it = path.is_dir() or ":" in source or format_named(source) is not None
    is_text = stored == "text" and format_named(source) is None
    return None if (says_it and not is_text) or stored == "idx" else stored


def _types(opened: OpenedSource, known: Mapping[str, str]) -> dict[str, str]:
    # A column that the model does not know is kept as its text: no guess can fail half-way.
    columns = opened.reading.columns
    if opened.listing.format not in TEXT_FORMATS:
        return {name: known[name] for name in columns if name in known}
    return {name: known.get(name, "string") for name in columns}


def _check_image(opened: OpenedSource, image: Mapping[str, Any] | None) -> None:
    shape = None if image is None else opened.reading.image_shapes.get(image["column"])
    if image is None or shape is None or shape == tuple(image["shape"]):
        return
    raise DataError(
        f"the images have the shape {shape}",
        where=opened.listing.files[0].uri,
        expected=f"{tuple(image['shape'])}: channels, height and width, as in training",
        mend="Bring the images to the size that the model was trained on",
    )


def _check_names(columns: tuple[str, ...], predictor: Predictor) -> None:
    taken = [name for name in predictor.prediction_names if name in columns]
    if taken:
        raise DataError(
            f"the data has a column {taken[0]!r} already",
            where="input columns",
            expected=f"no column named {', '.join(map(repr, predictor.prediction_names[:6]))}",
            mend="Rename it in the data, so that predictions do not get mixed up",
        )
