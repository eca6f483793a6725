"""From a model section to a network."""

import random
from typing import Any

import numpy as np
import pytest
import torch

from distrain.errors import ModelError
from distrain.models.build import InputNormalizer, build_model, min_part_rows, seeded
from distrain.models.weights import weights_sha256

TABLE, IMAGE = (6,), (1, 9, 7)


def build(spec: dict[str, Any], shape: tuple[int, ...] = TABLE, seed: int = 0) -> torch.nn.Module:
    return build_model(spec, input_shape=shape, num_outputs=3, seed=seed)


SPECS = [
    ({"name": "linear"}, TABLE),
    ({"name": "linear"}, IMAGE),
    ({"name": "mlp"}, TABLE),
    ({"name": "mlp", "hidden": []}, TABLE),
    ({"name": "mlp", "hidden": [8, 8], "norm": "layer", "residual": True, "dropout": 0.5}, IMAGE),
    ({"name": "mlp", "hidden": [8], "norm": "batch", "activation": "tanh"}, TABLE),
    ({"name": "cnn"}, IMAGE),
    ({"name": "cnn", "channels": [4] * 5, "hidden": [], "norm": None, "kernel_size": 5}, IMAGE),
    (
        {"name": "cnn", "channels": [4], "norm": "layer", "activation": "silu", "dropout": 0.1},
        IMAGE,
    ),
    ({"target": "tests.user_models:TwoLayers", "args": {"features": 6}}, TABLE),
    ({"target": "tests.user_models:make_model", "args": {"width": 5}}, TABLE),
    ({"target": "tests.user_models:Lazy"}, TABLE),
    ({"target": "tests.user_models:DrawnByNumPy"}, TABLE),
    ({"target": "tests.user_models:DrawnByPython"}, TABLE),
]


@pytest.mark.parametrize(("spec", "shape"), SPECS)
def test_every_family_gives_one_output_per_class(spec: dict[str, Any], shape: Any) -> None:
    outputs = build(spec, shape)(torch.rand(4, *shape))
    assert tuple(outputs.shape) == (4, 3)


@pytest.mark.parametrize(("spec", "shape"), SPECS)
def test_the_seed_alone_decides_the_first_weights(spec: dict[str, Any], shape: Any) -> None:
    first = weights_sha256(build(spec, shape, seed=1))
    torch.rand(7)
    np.random.rand(7)
    random.random()
    assert weights_sha256(build(spec, shape, seed=1)) == first
    assert weights_sha256(build(spec, shape, seed=2)) != first


def test_building_leaves_the_random_states_alone() -> None:
    def drawn() -> list[float]:
        return [float(torch.rand(())), float(np.random.rand()), random.random()]

    with seeded(3):
        expected = drawn()
    with seeded(3):
        build({"target": "tests.user_models:DrawnByNumPy"})
        assert drawn() == expected


def test_a_seed_may_be_longer_than_numpy_takes() -> None:
    first, second = (
        weights_sha256(build({"target": "tests.user_models:DrawnByNumPy"}, seed=seed))
        for seed in (2**40 + 1, 2**40 + 2)
    )
    assert first != second


def test_residual_layers_of_equal_width_add_their_input() -> None:
    model = build({"name": "mlp", "hidden": [6], "residual": True})
    with torch.no_grad():
        model[1].layers[0].weight.zero_()
        model[1].layers[0].bias.zero_()
    x = torch.rand(2, 6)
    assert torch.equal(model[1](x), x)


def test_batch_norm_needs_two_rows_a_part() -> None:
    assert min_part_rows(build({"name": "cnn"}, IMAGE)) == 2
    assert min_part_rows(build({"name": "cnn", "norm": "layer"}, IMAGE)) == 1


def test_images_are_normalised_by_channel() -> None:
    image = {"mean": [0.5, 0.25], "std": [0.5, 2.0], "scale": 255.0}
    x = torch.tensor([[[[0, 255]], [[0, 255]]]], dtype=torch.uint8)
    expected = torch.tensor([[[[-1.0, 1.0]], [[-0.125, 0.375]]]])
    assert torch.equal(InputNormalizer(image)(x), expected)


def test_rows_of_numbers_are_fed_as_they_are() -> None:
    x = torch.rand(3, 4)
    assert InputNormalizer(None)(x) is x


@pytest.mark.parametrize(
    ("spec", "shape", "message"),
    [
        ({"name": "mpl"}, TABLE, "no model is called 'mpl'. Did you mean 'mlp'?"),
        ({"name": "cnn"}, TABLE, r"rows have the shape \(6,\). Expected rows of shape \(channels"),
        ({"target": "no_such_module:X"}, TABLE, "importing no_such_module failed"),
        (
            {"target": "tests.user_models:TwoLayer"},
            TABLE,
            "has no 'TwoLayer'. Did you mean 'TwoLayers'?",
        ),
        (
            {"target": "tests.user_models:TwoLayers"},
            TABLE,
            "missing 1 required positional argument",
        ),
        ({"target": "tests.user_models:NOT_CALLABLE"}, TABLE, "gives a int"),
        (
            {"target": "tests.user_models:LazyImages"},
            TABLE,
            r"failed on rows of shape \(6,\): .* Expected a forward .* Correct the class",
        ),
        (
            {"target": "tests.user_models:ExtraState", "args": {"features": 6}},
            TABLE,
            "holds a dict, '_extra_state'. Expected tensors only, which can be saved without",
        ),
        (
            {"target": "tests.user_models:Unsaved", "args": {"features": 6}},
            TABLE,
            "the state_dict of 'tests.user_models:Unsaved' failed: OSError: no such place",
        ),
        (
            {"target": "tests.user_models:no_model"},
            TABLE,
            "gives a str. Expected a class derived from",
        ),
    ],
)
def test_what_cannot_be_built_is_told(spec: dict[str, Any], shape: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build(spec, shape)


def test_a_cnn_computes_the_same_whatever_the_layout_of_its_images() -> None:
    model = build({"name": "cnn", "channels": [4, 8]}, IMAGE)
    x = torch.randn(5, *IMAGE)
    layer_by_layer = x
    assert isinstance(model, torch.nn.Sequential)
    for layer in model:
        layer_by_layer = layer(layer_by_layer)
    assert layer_by_layer.is_contiguous()
    torch.testing.assert_close(model(x), layer_by_layer)
