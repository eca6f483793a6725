"""Weights from elsewhere: taken whole, with a head anew, or refused in words."""

import pytest
import torch
from torch import nn

from distrain.errors import ModelError
from distrain.models.build import build_model
from distrain.models.starting import take_weights


def make_mlp(num_outputs: int = 3, seed: int = 0, **spec: object) -> nn.Module:
    return build_model(
        {"name": "mlp", "hidden": [8], **spec}, input_shape=(6,), num_outputs=num_outputs, seed=seed
    )


def test_a_model_begins_with_the_weights() -> None:
    given, model = make_mlp(seed=1).state_dict(), make_mlp()
    assert take_weights(model, given, num_outputs=3) == []
    assert all(torch.equal(value, given[name]) for name, value in model.state_dict().items())


def test_a_last_layer_for_other_classes_begins_anew() -> None:
    given, model, fresh = make_mlp(5, seed=1).state_dict(), make_mlp(), make_mlp().state_dict()
    assert take_weights(model, given, num_outputs=3) == ["2.weight", "2.bias"]
    state = model.state_dict()
    assert torch.equal(state["1.0.weight"], given["1.0.weight"])
    assert torch.equal(state["2.weight"], fresh["2.weight"])


def test_what_is_asked_for_begins_anew_though_the_weights_have_it() -> None:
    given, model, fresh = make_mlp(seed=1).state_dict(), make_mlp(), make_mlp().state_dict()
    assert take_weights(model, given, num_outputs=3, anew=["2.*"]) == ["2.weight", "2.bias"]
    assert torch.equal(model.state_dict()["2.weight"], fresh["2.weight"])


def test_what_is_left_over_is_let_go_of_where_that_is_stated() -> None:
    given = {**make_mlp(seed=1).state_dict(), "decoder.weight": torch.zeros(2)}
    assert take_weights(make_mlp(), given, num_outputs=3, unused=["decoder.*"]) == []


def test_weights_of_another_model_are_refused_with_all_that_differs() -> None:
    given = {**make_mlp(hidden=[16]).state_dict(), "more": torch.zeros(1)}
    del given["2.bias"]
    with pytest.raises(ModelError) as caught:
        take_weights(make_mlp(), given, num_outputs=3)
    assert str(caught.value) == (
        "model.init_from: what it names does not fit the model: it lacks 2.bias; it has besides "
        "more; it has in another shape 1.0.weight (16, 6), not (8, 6), 1.0.bias (16,), not (8,), "
        "2.weight (3, 16), not (3, 8). Expected the weights of a model of the same names and "
        "shapes, but for the outputs. Set the model as it was trained; or state what shall begin "
        "anew in model.init_from.anew, and what is left over in model.init_from.unused."
    )


def test_two_layers_as_wide_as_the_outputs_are_no_head() -> None:
    given = make_mlp(4, hidden=[4]).state_dict()
    with pytest.raises(ModelError, match=r"in another shape 1.0.weight \(4, 6\), not \(3, 6\)"):
        take_weights(make_mlp(3, hidden=[3]), given, num_outputs=3)


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    with pytest.raises(ModelError, match=r"model.init_from.anew: 'head.\*' matches no parameter"):
        take_weights(make_mlp(), make_mlp().state_dict(), num_outputs=3, anew=["head.*"])
