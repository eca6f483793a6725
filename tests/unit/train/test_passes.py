"""Which blocks the passes of a sharded model go through, and passes that count nothing."""

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from distrain.errors import ModelError
from distrain.train.passes import Passes, Translated, check_order
from distrain.train.sharded import named_blocks
from tests.user_models import BlocksInAnyOrder, BlocksLeftOut, InfiniteAt, TwoBlocks

X = torch.arange(12.0).reshape(2, 6)


class DropsOut(TwoBlocks):
    def __init__(self) -> None:
        super().__init__()
        self.moving = nn.BatchNorm1d(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(nn.functional.dropout(self.moving(x), 0.5, self.training))


def tried(model: nn.Module) -> None:
    check_order(model, dict(named_blocks(model)), X)


@pytest.mark.parametrize("made", [BlocksInAnyOrder, BlocksLeftOut])
def test_a_model_of_which_chance_decides_the_blocks_is_refused(made: type[TwoBlocks]) -> None:
    with pytest.raises(ModelError, match=r"chance decides .*ran blocks\.[01].*strategy: ddp"):
        tried(made())


@pytest.mark.parametrize("made", [TwoBlocks, DropsOut])
def test_a_model_that_runs_its_blocks_in_order_is_left_as_it_was(made: type[TwoBlocks]) -> None:
    model = made().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()

    tried(model)

    assert torch.equal(torch.get_rng_state(), state)
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.blocks[0]._forward_pre_hooks


def summed(orders: Sequence[Sequence[int]]) -> tuple[Passes, list[float]]:
    """The words of workers that run the blocks of a model in some order, summed."""
    total = torch.zeros(4, dtype=torch.float64)
    for order in orders:
        blocks = [nn.Linear(2, 2) for _ in range(3)]
        passes = Passes(nn.Sequential(*blocks), blocks, "Own")
        for number in order:
            blocks[number](torch.ones(1, 2))
        total += passes.words(torch.device("cpu"))
    return passes, total.tolist()


@pytest.mark.parametrize("others", [[[0, 2, 1]], [[0, 1]], [[0, 1, 2, 2]], [[]]])
def test_an_order_that_differs_on_one_of_many_workers_is_refused(others: list[list[int]]) -> None:
    passes, sums = summed([[0, 1, 2]] * 30 + others)
    with pytest.raises(ModelError, match=r"^model Own: .*in another order.*strategy: ddp"):
        passes.check_alike(sums, 31)


def test_one_order_on_all_workers_is_taken() -> None:
    passes, sums = summed([[0, 1, 2]] * 31)
    passes.check_alike(sums, 31)


def test_an_order_is_told_once() -> None:
    passes, _ = summed([[0, 1]])
    fresh, _ = summed([[]])
    cpu = torch.device("cpu")
    assert torch.equal(passes.words(cpu), fresh.words(cpu))


def test_a_pass_that_counts_nothing_has_gradients_of_zeros_whatever_comes_of_it() -> None:
    model = InfiniteAt(number=0.0)
    passes = Passes(model, list(model.blocks), "Own")

    with passes.uncounted():
        (model(X) * 0.0).sum().backward()

    assert not any(parameter.grad.any() for parameter in model.parameters())
    (model(X) * 0.0).sum().backward()
    assert any(parameter.grad.isnan().any() for parameter in model.parameters())


class Fails(nn.Module):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        raise RuntimeError(self.text)


def test_torch_s_words_for_a_share_in_the_place_of_a_parameter_are_translated() -> None:
    forward = Translated(Fails("aten.mm.default got mixed torch.Tensor and DTensor, ..."))
    with pytest.raises(ModelError, match=r"outside of the block's own forward.*strategy: ddp"):
        forward(X)


def test_another_fault_of_the_model_is_passed_on() -> None:
    with pytest.raises(RuntimeError, match=r"^out of luck$"):
        Translated(Fails("out of luck"))(X)
