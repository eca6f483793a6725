"""The fitted transform between raw columns and tensors, as plain JSON on disk.

It is fitted once, on training rows (`fit.py`), stored in the prepared dataset's manifest and inside
every packaged model, and applied by the same code everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from distrain.data.columns import TextRules, as_float64, as_text, plain
from distrain.data.encoders import Feature, Floats32, feature_from_json
from distrain.errors import DataError, did_you_mean

Label = str | int | bool


@final
@dataclass(frozen=True)
class Transform:
    """Raw rows to tensors, and a model's outputs back to what the user speaks of.

    Args:
        task: `classification` or `regression`.
        targets: the target columns; one for classification.
        classes: class labels in the order of their index; empty for regression.
        positive: index of the class that binary metrics speak of; None unless there are two.
        labels: renaming of target values, from the files' spelling to the label's.
        target_mean: each target's training mean, in its own unit; empty for classification.
        target_std: each target's training standard deviation.
        features: the fitted columns, in the order of the source.
        image: for images, instead of `features`: `column`, `shape` (channels, height, width), and
            `mean` and `std` per channel of x / `scale`, which the model's first stage applies.
        id_columns: raw columns that are passed through to predictions.
        column_types: raw column name to type, with which files for prediction are read.
        text: how text in raw columns is read.
        inputs: where rows are those of a Dataset of the user's own, what they hold: `form` (tensor,
            tuple or dict) and `fields` by name, each with `dtype` and `shape` (-1: any size).
    """

    task: str
    targets: list[str]
    classes: list[Label] = field(default_factory=list)
    positive: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    target_mean: list[float] = field(default_factory=list)
    target_std: list[float] = field(default_factory=list)
    features: tuple[Feature, ...] = ()
    image: dict[str, Any] | None = None
    id_columns: list[str] = field(default_factory=list)
    column_types: dict[str, str] = field(default_factory=dict)
    text: TextRules = field(default_factory=TextRules)
    inputs: dict[str, Any] | None = None

    @property
    def num_outputs(self) -> int:
        """Return the number of a model's outputs: classes, or targets."""
        return len(self.classes) if self.task == "classification" else len(self.targets)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Return the shape of one row of `x`; of several tensors, or any size, there is none."""
        if self.inputs is not None:
            shape = self.inputs["fields"]["x"]["shape"] if self.inputs["form"] == "tensor" else []
            return tuple(shape) if -1 not in shape else ()
        if self.image is not None:
            return tuple(self.image["shape"])
        return (len(self.feature_names),)

    @property
    def feature_names(self) -> list[str]:
        """Return the name of each feature, in order; none for images."""
        return [name for feature in self.features for name in feature.feature_names]

    @property
    def column_widths(self) -> list[tuple[str, int | None]] | None:
        """Return the raw columns in order, and how many features each became; None: an image.

        Of a Dataset of the user's own there are no columns: None.
        """
        if self.inputs is not None:
            return None
        if self.image is not None:
            return [(str(self.image["column"]), None)]
        return [(feature.name, len(feature.feature_names)) for feature in self.features]

    @property
    def input_columns(self) -> list[str]:
        """Return the raw columns that `apply` needs."""
        if self.image is not None:
            return [str(self.image["column"])]
        return [feature.name for feature in self.features]

    def apply(self, table: pa.Table) -> dict[str, npt.NDArray[Any]]:
        """Return the model's input for raw rows.

        Returns:
            `x`: float32 `(n, features)`, or uint8 `(n, channels, height, width)`.

        Raises:
            DataError: a column is missing, or holds what it cannot hold.
        """
        check_columns(table.column_names, self.input_columns)
        if self.image is not None:
            return {"x": self._apply_image(table, self.image)}
        widths = [len(feature.feature_names) for feature in self.features]
        out = np.zeros((table.num_rows, sum(widths)), dtype=np.float32)
        stop = 0
        for feature, width in zip(self.features, widths, strict=True):
            start, stop = stop, stop + width
            feature.write(plain(table.column(feature.name)), self.text, out[:, start:stop])
        return {"x": out}

    def encode_target(self, table: pa.Table) -> dict[str, npt.NDArray[Any]]:
        """Return the targets of raw rows as the loss and the metrics take them.

        Returns:
            classification: `y` int64 `(n,)`. regression: `y` float32 `(n, targets)`, standardised,
            and `target` float64 `(n, targets)` in the user's own unit.

        Raises:
            DataError: a target column or value is missing, or a class is unknown.
        """
        check_columns(table.column_names, self.targets)
        if self.task == "classification":
            return {"y": self._class_indices(table.column(self.targets[0]))}
        columns = [
            as_float64(table.column(name), name, self.column_types.get(name, "double"), self.text)
            for name in self.targets
        ]
        target = np.stack(columns, axis=1)
        if not np.isfinite(target).all():
            raise _missing_target(self.targets, int((~np.isfinite(target)).any(axis=1).sum()))
        scaled = (target - np.array(self.target_mean)) / np.array(self.target_std)
        return {"y": scaled.astype(np.float32), "target": target}

    def target_text(self, column: pa.Array | pa.ChunkedArray) -> pa.Array:
        """Return class labels as text, after renaming; null where there is none."""
        name = self.targets[0]
        return renamed(
            as_text(column, name, self.column_types.get(name, "string"), self.text), self.labels
        )

    def decode(self, outputs: npt.NDArray[np.float32]) -> pa.Table:
        """Return predictions for a model's outputs.

        Args:
            outputs: logits `(n, classes)`, or standardised values `(n, targets)`.

        Returns:
            `prediction` and, for classification, `probability_<label>` (float64) for each class;
            for several regression targets `prediction_<target>` (float64) each.
        """
        if self.task == "classification":
            labels = pa.array(self.classes).take(pa.array(outputs.argmax(axis=1)))
            chances = class_probabilities(outputs).astype(np.float64)
            named = {
                f"probability_{label_text(label)}": chances[:, index]
                for index, label in enumerate(self.classes)
            }
            return pa.table({"prediction": labels, **named})
        mean, std = np.array(self.target_mean), np.array(self.target_std)
        values = outputs.astype(np.float64) * std + mean
        if len(self.targets) == 1:
            return pa.table({"prediction": values[:, 0]})
        return pa.table({f"prediction_{name}": values[:, i] for i, name in enumerate(self.targets)})

    def to_json(self) -> dict[str, Any]:
        """Return the transform as plain JSON."""
        return {
            "task": self.task,
            "targets": self.targets,
            "classes": self.classes,
            "positive": self.positive,
            "labels": self.labels,
            "target_mean": self.target_mean,
            "target_std": self.target_std,
            "features": [feature.to_json() for feature in self.features],
            "image": self.image,
            "id_columns": self.id_columns,
            "column_types": self.column_types,
            "text": self.text.to_json(),
            **({} if self.inputs is None else {"inputs": self.inputs}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Transform":
        """Return the transform that `to_json` gave."""
        fields = dict(data)
        fields["features"] = tuple(feature_from_json(entry) for entry in data["features"])
        fields["text"] = TextRules.from_json(data["text"])
        return cls(**fields)

    def _apply_image(self, table: pa.Table, image: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
        pixels = pixels_of(table.column(image["column"]), image["column"])
        width = int(np.prod(image["shape"], dtype=np.int64))
        if pixels.size != table.num_rows * width:
            raise DataError(
                f"the images have {pixels.size:,} values in {table.num_rows:,} rows",
                where=f"column {image['column']!r}",
                expected=f"{width:,} in each row, for the shape {tuple(image['shape'])}",
                mend="Bring the images to the size that the model was trained on.",
            )
        return pixels.reshape(table.num_rows, *image["shape"])

    def _class_indices(self, column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
        text = self.target_text(column)
        if text.null_count:
            raise _missing_target(self.targets, text.null_count)
        known = pa.array([label_text(label) for label in self.classes], pa.string())
        index = pc.index_in(text, value_set=known)
        if index.null_count:
            unknown = text.filter(pc.is_null(index))[0].as_py()
            raise DataError(
                f"{unknown!r} is no class that the model knows",
                where=f"target column {self.targets[0]!r}",
                expected="a class of the training data",
                mend=did_you_mean(unknown, known.to_pylist(), listed="Classes")
                + " Values can be renamed by data.labels.",
            )
        indices: npt.NDArray[np.int64] = index.cast(pa.int64()).to_numpy(zero_copy_only=False)
        return indices


def class_probabilities(outputs: npt.NDArray[np.float32]) -> Floats32:
    """Return the softmax of logits, computed in float32, shape `(n, classes)`."""
    logits = np.ascontiguousarray(outputs, dtype=np.float32)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances: Floats32 = powers / powers.sum(axis=1, keepdims=True, dtype=np.float32)
    return chances


def label_text(label: Label) -> str:
    """Return a class label as it is written in files and column names."""
    return str(label).lower() if isinstance(label, bool) else str(label)


def renamed(text: pa.Array, labels: Mapping[str, str]) -> pa.Array:
    """Return text with the values in `labels` replaced by what they map to."""
    if not labels:
        return text
    place = pc.index_in(text, value_set=pa.array(list(labels), pa.string()), skip_nulls=True)
    replacement = pa.array(list(labels.values()), pa.string()).take(place)
    return pc.if_else(pc.is_valid(place), replacement, text)


def pixels_of(column: pa.Array | pa.ChunkedArray, name: str) -> npt.NDArray[np.uint8]:
    """Return all pixels of an image column, one after the other.

    Args:
        column: lists (fixed or not, also nested) of whole numbers in [0, 255], one for each row.
        name: the column's name, for messages.
    """
    values = plain(column)
    while pa.types.is_nested(values.type) and hasattr(values, "flatten"):
        values = values.flatten()
    try:
        pixels: npt.NDArray[np.uint8] = values.cast(pa.uint8()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as fault:
        raise DataError(
            f"the pixels are of type {values.type} ({fault})",
            where=f"column {name!r}",
            expected="lists of whole numbers from 0 to 255",
            mend="Give the raw bytes of the images, not scaled ones.",
        ) from fault
    return pixels


def check_columns(present: Sequence[str], needed: Sequence[str], where: str = "data") -> None:
    """Raise a DataError that names the columns that are missing, with the nearest that are there.

    Args:
        present: names of columns.
        needed: likewise.
        where: what has the columns, for the message.

    Raises:
        DataError: a column of `needed` is not in `present`.
    """
    absent = [name for name in needed if name not in present]
    if absent:
        listed = ", ".join(repr(name) for name in absent[:10])
        more = f" and {len(absent) - 10} more" if len(absent) > 10 else ""
        raise DataError(
            f"{'column' if len(absent) == 1 else 'columns'} {listed}{more} missing",
            where=where,
            expected="every column that the model was trained on",
            mend=did_you_mean(absent[0], present, listed="Columns that are there")
            + " A column may be empty, which is filled in as in training, but must be there.",
        )


def _missing_target(targets: Sequence[str], num_rows: int) -> DataError:
    return DataError(
        f"{num_rows:,} rows have no target value",
        where=f"target {', '.join(map(repr, targets))}",
        expected="a value in every row",
        mend="Leave these rows out.",
    )
