from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from distrain.errors import ModelError
from distrain.track.like_trained import check_like_trained
from distrain.track.packaged import Predictor
from tests.example_models import people_transform, save_example

X = np.random.default_rng(0).normal(size=(10, 7)).astype(np.float32)
DATASET: Any = SimpleNamespace(
    split=lambda _: SimpleNamespace(slice=lambda start, stop: {"x": X[start:stop]})
)


def check(tmp_path: Path, scale: float) -> None:
    """Compare a packaged model with one whose outputs were `scale` times those."""
    packaged = save_example(tmp_path / "packaged", people_transform())
    given = torch.from_numpy(Predictor.load(packaged).outputs(X)) * scale
    safetensors.torch.save_file({"test": given}, tmp_path / "outputs.safetensors")
    check_like_trained(packaged, tmp_path / "outputs.safetensors", DATASET)


@pytest.mark.parametrize("scale", [1.0, 1.001])
def test_a_model_that_gives_the_same_but_for_rounding_is_good(tmp_path: Path, scale: float) -> None:
    check(tmp_path, scale)


def test_a_model_that_keeps_state_outside_of_its_state_dict_is_told(tmp_path: Path) -> None:
    told = r"gives \[.*\] for row \d of the test split.*Expected what the trained one gave"
    with pytest.raises(ModelError, match=told):
        check(tmp_path, 2.0)
