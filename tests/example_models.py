"""Small packaged models made by hand, with the raw rows that they take."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from distrain.data.columns import TextRules
from distrain.data.encoders import CategoricalFeature, NumericFeature
from distrain.data.features import Transform
from distrain.models.build import build_model
from distrain.track.packaged import save_packaged

SPEC = {"name": "mlp", "hidden": [16], "activation": "relu", "dropout": 0.1}


def people_transform() -> Transform:
    """Three raw columns, an id, two classes, text read as from a CSV file."""
    features = (
        NumericFeature("age", "int64", fill=38.0, center=38.0, spread=13.0, indicator=True),
        NumericFeature("hours", "double", fill=40.0, center=40.0, spread=12.0),
        CategoricalFeature("work", "string", ("Private", "State-gov"), missing=True),
    )
    return Transform(
        task="classification",
        targets=["income"],
        classes=["<=50K", ">50K"],
        positive=1,
        features=features,
        id_columns=["person"],
        column_types={
            "age": "int64",
            "hours": "double",
            "work": "string",
            "person": "string",
            "income": "string",
        },
        text=TextRules(missing=("", "?")),
    )


def house_transform() -> Transform:
    """One number in, one number out, in the user's own unit."""
    return Transform(
        task="regression",
        targets=["price"],
        target_mean=[200_000.0],
        target_std=[100_000.0],
        features=(NumericFeature("rooms", "double", fill=5.0, center=5.0, spread=2.0),),
        column_types={"rooms": "double", "price": "double"},
    )


def image_transform() -> Transform:
    """Gray images of 8 x 8 pixels, three classes that are whole numbers."""
    image = {"column": "image", "shape": [1, 8, 8], "mean": [0.3], "std": [0.3], "scale": 16.0}
    return Transform(
        task="classification",
        targets=["target"],
        classes=[0, 1, 2],
        image=image,
        column_types={"image": "image", "target": "int64"},
    )


def people(num_rows: int, seed: int = 0) -> pa.Table:
    """Raw rows as a CSV reader gives them, some values missing."""
    random = np.random.default_rng(seed)
    age = random.integers(17, 90, num_rows)
    work = random.choice(["Private", "State-gov", "Never"], num_rows)
    return pa.table(
        {
            "person": [f"p{row}" for row in range(num_rows)],
            "age": pa.array(age, mask=random.random(num_rows) < 0.1),
            "hours": random.uniform(1, 80, num_rows).round(1),
            "work": pa.array(work.tolist(), mask=random.random(num_rows) < 0.1),
            "income": random.choice(["<=50K", ">50K"], num_rows).tolist(),
        }
    )


def save_example(
    folder: Path, transform: Transform, spec: dict[str, object] | None = None, **more: object
) -> Path:
    """Package an untrained model for a transform and return its folder."""
    spec = spec or SPEC
    model = build_model(
        spec, input_shape=transform.input_shape, num_outputs=transform.num_outputs, seed=3
    )
    save_packaged(
        folder,
        module_state=model.state_dict(),
        model_spec=spec,
        transform=transform,
        threads=1,
        **more,  # type: ignore[arg-type]
    )
    return folder
