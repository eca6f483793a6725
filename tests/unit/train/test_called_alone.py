"""What of a batch without targets a model is called with by itself."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from distrain.config.data import DataSettings
from distrain.data.prepare import prepare
from distrain.train.called_alone import inputs_alone

pytestmark = pytest.mark.usefixtures("user_code")


class One(nn.Module):
    def forward(self, left: torch.Tensor) -> torch.Tensor:
        return left


class All(nn.Module):
    def forward(self, **batch: Any) -> torch.Tensor:
        left: torch.Tensor = batch["left"]
        return left


@pytest.mark.parametrize(("model", "names"), [(One(), ["left"]), (All(), ["left", "right"])])
def test_a_model_is_called_with_what_its_forward_names(
    model: nn.Module, names: list[str], tmp_path: Path
) -> None:
    data = DataSettings.model_validate({"dataset": {"target": "own_datasets:Unanswered"}})
    dataset = prepare(data, cache=tmp_path).dataset

    assert list(inputs_alone(model, dataset)) == names
