"""A model on new labelled data: predicted on Ray Data as `predict` does, measured as training does.

Only targets and predictions are held in memory, not the rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa

from distrain.config.names import metric_names
from distrain.data.features import Transform
from distrain.data.profile import labelled_rows
from distrain.data.reading import CannotCut
from distrain.display import Display
from distrain.errors import DataError
from distrain.predict import RowsToPredict, predicted_tables, rows_to_predict
from distrain.predict_blocks import load_from_files
from distrain.track.model_registry import registry_of
from distrain.track.reachable import check_reachable
from distrain.train.metrics import Metric, metrics_from_predictions
from distrain.workplace import data_session


@final
@dataclass(frozen=True)
class EvaluateResult:
    """A model measured on labelled rows.

    Attributes:
        metrics: every built-in metric of the task that predictions tell.
        num_rows: how many rows; those without a target do not count.
    """

    metrics: Mapping[str, float]
    num_rows: int

    def to_json(self) -> dict[str, Any]:
        """Return the object of `--json`."""
        return {"metrics": dict(self.metrics), "num_rows": self.num_rows}


def evaluate(
    model: str, *, data: str, storage: Path, address: str | None, display: Display
) -> EvaluateResult:
    """Measure a registered model, or that of a run, on new labelled rows.

    Args:
        model: `models:/name@alias`, `models:/name/3`, or a run's folder or name.
        data: path, glob, directory or built-in name of labelled raw rows.
        storage: the folder that runs are kept in.
        address: a Ray cluster; None: RAY_ADDRESS, else a new local Ray.
        display: what is told meanwhile.

    Raises:
        DistrainError: the input is at fault, or what was named cannot be reached.
    """
    display.stage("loading the model")
    server = registry_of(model, storage)
    if model.startswith("models:"):
        check_reachable(server)
    rows = rows_to_predict(model, data, server=server, storage=storage, has_targets=True)
    for note in rows.notes:
        display.note(note)
    with data_session(address, display):
        display.stage("predicting and measuring")
        return assess(rows)


def assess(rows: RowsToPredict) -> EvaluateResult:
    """Predict the rows and measure the predictions; Ray must be connected.

    Args:
        rows: from `rows_to_predict`, with targets.

    Raises:
        DataError: a file cannot be read, a class is unknown, or no row has a target.
    """
    predictor = load_from_files(rows.files)
    transform = predictor.transform
    wanted = [*transform.targets, *predictor.prediction_names]
    try:
        labelled = _labelled(rows, transform, wanted, may_split=True)
    except CannotCut:
        labelled = _labelled(rows, transform, wanted, may_split=False)
    if not labelled.num_rows:
        raise DataError(
            "no row has a value in the target column",
            where=", ".join(map(repr, transform.targets)),
            expected="labelled rows",
            mend="Use `distrain predict` for rows without targets.",
        )
    encoded = transform.encode_target(labelled)
    targets = encoded.get("target", encoded["y"])
    metrics = [
        Metric(name)
        for name in metric_names("classification" if transform.classes else "regression")
        if name != "loss"
    ]
    values = metrics_from_predictions(metrics, transform, np.asarray(targets), labelled)
    return EvaluateResult(values, labelled.num_rows)


def _labelled(
    rows: RowsToPredict, transform: Transform, wanted: list[str], *, may_split: bool
) -> pa.Table:
    """Return targets and predictions of the rows that have a target."""
    parts = []
    for table in predicted_tables(rows, may_split=may_split):
        types, rules = transform.column_types, transform.text
        has_target = labelled_rows(table, transform.targets, types, rules)
        parts.append(table.select(wanted).filter(pa.array(has_target)))
    return pa.concat_tables(parts, promote_options="permissive")
