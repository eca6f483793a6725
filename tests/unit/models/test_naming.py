"""Patterns of parameter names: what is frozen, and at which rate the rest is trained."""

import pytest
import torch
from torch import nn

from distrain.errors import ModelError
from distrain.models.naming import freeze, rates_by_name


def make_network() -> nn.Module:
    encoder = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU())
    return nn.Sequential(
        nn.Identity(), nn.ModuleDict({"encoder": encoder, "head": nn.Linear(8, 3)})
    )


def trained(model: nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def test_what_a_pattern_matches_is_not_trained() -> None:
    model = make_network()
    freeze(model, ["1.encoder.*"])
    assert trained(model) == ["1.head.weight", "1.head.bias"]


def test_a_frozen_norm_keeps_its_running_statistics() -> None:
    encoder = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8))
    freeze(encoder, ["1.*"])
    before = {name: value.clone() for name, value in encoder.state_dict().items()}

    encoder.train()(torch.randn(4, 6))

    assert encoder[0].training
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize("patterns", [["0.*"], ["1.weight"]])
def test_a_norm_with_a_trained_parameter_goes_on_counting(patterns: list[str]) -> None:
    encoder = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8))
    freeze(encoder, patterns)
    encoder.train()(torch.randn(4, 6))
    assert encoder[1].num_batches_tracked == 1


def test_a_pattern_that_matches_nothing_is_told_with_the_nearest_names() -> None:
    with pytest.raises(ModelError) as caught:
        freeze(make_network(), ["1.encodr.*"])
    assert str(caught.value) == (
        "train.freeze: '1.encodr.*' matches no parameter of the model. Expected patterns of "
        "parameter names, such as encoder.* or *.bias. Did you mean '1.encoder.*'? There are: "
        "1.*, 1.encoder.*, 1.encoder.0.*, 1.encoder.1.*, 1.head.*."
    )


def test_the_first_pattern_that_matches_counts() -> None:
    factor = rates_by_name(make_network(), {"*.bias": 0.1, "1.head.*": 1.0}, 0.01)
    assert factor("1.head.bias") == pytest.approx(10)
    assert factor("1.head.weight") == pytest.approx(100)
    assert factor("1.encoder.0.weight") == 1.0


def test_a_rate_of_what_is_frozen_is_refused() -> None:
    model = make_network()
    freeze(model, ["1.encoder.*"])
    with pytest.raises(ModelError, match=r"train.lr_by_name: '1.encoder.\*' matches no parameter"):
        rates_by_name(model, {"1.encoder.*": 0.1}, 0.01)
