"""What a user's forward asks for, by its signature, is what it is given."""

from typing import Any

import pytest
import torch
from torch import nn

from distrain.errors import ModelError
from distrain.models.feeding import keys_of, take_by_name

COLUMNS = [("age", 1), ("colour", 3), ("hours-per-week", 1), ("2nd", 1)]
X = torch.arange(12.0).reshape(2, 6)


def given(forward: Any, columns: Any = COLUMNS) -> Any:
    """Return what a model with this forward returns for two rows."""
    model = type("Asking", (nn.Module,), {"forward": forward})()
    take_by_name(model, columns)
    return model(X)


def test_a_column_is_asked_for_by_a_name_that_python_can_have() -> None:
    assert keys_of(COLUMNS) == {
        "age": (0, 1), "colour": (1, 3), "hours_per_week": (4, 1), "_2nd": (5, 1)
    }  # fmt: skip


def one(_self: nn.Module, x: Any) -> Any:
    return x


def one_of_any_name(_self: nn.Module, age: Any) -> Any:
    return age


def one_and_a_default(_self: nn.Module, x: Any, mask: Any = None) -> Any:
    assert mask is None
    return x


def one_by_default(_self: nn.Module, x: Any = None) -> Any:
    return x


def any_number(_self: nn.Module, *inputs: Any) -> Any:
    return inputs[0]


def one_and_any_more(_self: nn.Module, x: Any, **more: Any) -> Any:
    assert not more
    return x


@pytest.mark.parametrize(
    "forward",
    [one, one_of_any_name, one_and_a_default, one_by_default, any_number, one_and_any_more],
)
def test_one_argument_gets_all_features(forward: Any) -> None:
    assert torch.equal(given(forward), X)


def test_arguments_get_the_columns_that_they_name() -> None:
    age, colour = given(lambda _self, age, colour: (age, colour))
    assert torch.equal(age, X[:, :1])
    assert torch.equal(colour, X[:, 1:4])


def test_keywords_get_all_columns() -> None:
    batch = given(lambda _self, **batch: batch)
    assert {name: tuple(value.shape) for name, value in batch.items()} == {
        "age": (2, 1), "colour": (2, 3), "hours_per_week": (2, 1), "_2nd": (2, 1)
    }  # fmt: skip


def test_a_column_may_be_left_to_its_default_and_x_be_asked_for() -> None:
    x, age, mask = given(lambda _self, x, age, mask=3: (x, age, mask))
    assert torch.equal(x, X)
    assert torch.equal(age, X[:, :1])
    assert mask == 3


def test_an_image_is_asked_for_by_its_column() -> None:
    batch = given(lambda _self, **batch: batch, [("picture", None)])
    assert list(batch) == ["picture"]
    assert batch["picture"] is X


def test_parameters_keep_their_names() -> None:
    class Two(nn.Linear):
        def forward(self, age: torch.Tensor, colour: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return super().forward(torch.cat([age, colour], 1))

    model = Two(4, 2)
    take_by_name(model, COLUMNS)
    assert list(model.state_dict()) == ["weight", "bias"]
    assert model(X).shape == (2, 2)


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (
            lambda _self, aeg, colour: (aeg, colour),
            r"model Asking: forward asks for 'aeg'. Expected one argument, .* Did you mean 'age'\? "
            "There are: _2nd, age, colour, hours_per_week.",
        ),
        (lambda _self: None, "forward takes nothing"),
    ],
)
def test_what_the_data_does_not_have_is_told(forward: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        given(forward)
