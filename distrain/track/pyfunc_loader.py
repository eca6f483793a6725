"""Loads a distrain model for `mlflow.pyfunc`; each model carries a copy of this file.

An installed distrain is used where there is one; otherwise the sources that were stored with the
model. So this file imports nothing of distrain at module level, and must stay so.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

SOURCES = "distrain_sources.zip"


class PyfuncModel:
    """What `mlflow.pyfunc.load_model` wraps.

    Args:
        folder: the packaged model.
    """

    def __init__(self, folder: Path) -> None:
        from distrain.track.packaged import Predictor

        self._predictor = Predictor.load(folder)

    def predict(self, rows: Any) -> Any:
        """Return predictions as a DataFrame, with the index of the rows where they have one.

        Args:
            rows: raw rows as in the source file: a pandas DataFrame, a list of dicts, or a dict of
                columns.
        """
        predictions = self._predictor.predict(rows).to_pandas()
        index = getattr(rows, "index", None)
        if hasattr(rows, "iloc"):
            predictions.index = index
        return predictions


def _load_pyfunc(data_path: str) -> PyfuncModel:
    if "distrain" not in sys.modules and importlib.util.find_spec("distrain") is None:
        sys.path.append(str(Path(__file__).parent / SOURCES))
    return PyfuncModel(Path(data_path))
