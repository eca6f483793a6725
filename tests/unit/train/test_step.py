"""One optimizer step, against the same step written out in plain torch."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from distrain.data.loader import Part, StepBatch
from distrain.data.plan import Plan
from distrain.data.tensors import Rows
from distrain.errors import ModelError
from distrain.models.build import InputNormalizer, build_model
from distrain.train.flat import FlatGradients, FlatModel
from distrain.train.losses import Loss, build_loss
from distrain.train.optimize import build_optimizer
from distrain.train.step import Stepper, StepResult, Wishes, seed_part, vector_length
from distrain.train.sums import open_tree_sum
from distrain.train.world import World
from tests.prepared_examples import numeric_transform

CPU = World.single("cpu")
TRANSFORM = numeric_transform(6, task="classification", targets=["label"], classes=[0, 1, 2])
SGD = {"name": "sgd", "lr": 0.5, "momentum": 0.0}
NUM_PARTS = 4


def make_loss() -> Loss:
    return build_loss(
        {"name": "cross_entropy"},
        transform=TRANSFORM,
        class_counts=lambda: [1, 1, 1],
        device=torch.device("cpu"),
    )


def make_rows(count: int, seed: int = 0, weight: torch.Tensor | None = None) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 6, generator=generator)
    return Rows(x, torch.randint(0, 3, (count,), generator=generator), weight)


def make_batch(rows: Rows, step: int = 0, num_parts: int = NUM_PARTS) -> StepBatch:
    cuts = Plan(len(rows), len(rows), num_parts, 1, 0).parts(len(rows))
    parts = [
        Part(
            index,
            np.arange(start, stop),
            Rows(
                rows.x[start:stop],
                rows.y[start:stop],
                None if rows.weight is None else rows.weight[start:stop],
            ),
        )
        for index, (start, stop) in enumerate(cuts)
    ]
    return StepBatch(step, 0, len(rows), parts)


def make_stepper(module: nn.Module, clip_norm: float | None = None) -> tuple[Stepper, FlatModel]:
    probe = torch.zeros(2, 6)
    model = FlatModel(module.train(), probe)
    gradients = FlatGradients(model, build_optimizer(SGD, model.parameters), clip_norm)
    stepper = Stepper(
        model,
        make_loss(),
        gradients,
        open_tree_sum(NUM_PARTS, vector_length(model, gradients), CPU),
        InputNormalizer(None),
        seed=1,
        probe=probe,
        world=CPU,
    )
    return stepper, model


def make_module(**spec: object) -> nn.Module:
    return build_model(
        {"name": "mlp", "hidden": [8], **spec}, input_shape=(6,), num_outputs=3, seed=0
    )


def plain_step(
    module: nn.Module, rows: Rows, change: Callable[[list[nn.Parameter]], None] = lambda _: None
) -> list[torch.Tensor]:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    nn.functional.cross_entropy(module(rows.x), rows.y).backward()
    change(list(module.parameters()))
    optimizer.step()
    return [parameter.detach() for parameter in module.parameters()]


@pytest.mark.parametrize("count", [1, 3, 4, 17])
def test_a_step_is_the_plain_step_up_to_rounding(count: int) -> None:
    rows = make_rows(count)
    stepper, model = make_stepper(make_module())
    result = stepper.step(make_batch(rows), 0.5, Wishes())
    expected = plain_step(make_module(), rows)
    assert result.weight == count
    for found, wanted in zip(model.trained, expected, strict=True):
        torch.testing.assert_close(found.detach(), wanted)


def test_the_gradient_is_clipped_as_a_whole() -> None:
    rows = make_rows(9)
    stepper, model = make_stepper(make_module(), clip_norm=0.01)
    stepper.step(make_batch(rows), 0.5, Wishes())
    expected = plain_step(
        make_module(), rows, lambda parameters: nn.utils.clip_grad_norm_(parameters, 0.01) and None
    )
    for found, wanted in zip(model.trained, expected, strict=True):
        torch.testing.assert_close(found.detach(), wanted)


def test_a_step_without_weight_changes_nothing() -> None:
    stepper, model = make_stepper(make_module())
    before = model.vector.detach().clone()
    result = stepper.step(make_batch(make_rows(8, weight=torch.zeros(8))), 0.5, Wishes())
    assert result.weight == 0.0
    assert torch.equal(model.vector.detach(), before)


def test_frozen_parameters_are_left_out_and_unused_ones_stay() -> None:
    class Partial(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used = nn.Linear(6, 3)
            self.unused = nn.Linear(6, 3)
            self.frozen = nn.Linear(3, 3).requires_grad_(False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            outputs: torch.Tensor = self.frozen(self.used(x))
            return outputs

    module = Partial()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    stepper, model = make_stepper(module)
    stepper.step(make_batch(make_rows(8)), 0.5, Wishes())
    changed = {
        name for name, value in module.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"used.weight", "used.bias"}
    assert len(model.trained) == 4


def test_batch_norm_takes_the_mean_over_parts_and_counts_one_step() -> None:
    rows = make_rows(10)
    stepper, model = make_stepper(make_module(norm="batch"))
    norm = next(m for m in model.module.modules() if isinstance(m, nn.BatchNorm1d))
    first = model.module[1][0]
    with torch.no_grad():
        parts = [first(part.rows.x) for part in make_batch(rows).parts]
    means = sum(len(part) / 10 * part.mean(dim=0) for part in parts)
    stepper.step(make_batch(rows), 0.5, Wishes())
    torch.testing.assert_close(norm.running_mean, 0.1 * means)
    assert norm.num_batches_tracked == 1


def test_constants_among_the_buffers_keep_their_bits() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 3)
            self.norm = nn.BatchNorm1d(3)
            self.register_buffer("mask", torch.tensor([0.1, -torch.inf, torch.nan]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            outputs: torch.Tensor = self.norm(self.layer(x))
            return outputs

    stepper, model = make_stepper(Masked())
    before = model.module.mask.clone().view(torch.int32)
    for step in range(3):
        stepper.step(make_batch(make_rows(9), step), 0.5, Wishes())
    assert torch.equal(model.module.mask.view(torch.int32), before)


def test_a_buffer_that_starts_to_move_later_is_refused() -> None:
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 3)
            self.calls = 0
            self.register_buffer("level", torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            if self.calls > 6:
                self.level += 1.0
            outputs: torch.Tensor = self.layer(x)
            return outputs

    stepper, _ = make_stepper(Late())
    stepper.step(make_batch(make_rows(8)), 0.5, Wishes())
    with pytest.raises(ModelError, match="step 2: the model changed its buffer 'level'"):
        stepper.step(make_batch(make_rows(8), 1), 0.5, Wishes())


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_step_judged_not_worth_it_leaves_parameters_and_buffers(value: float) -> None:
    rows = make_rows(8)
    rows.x[5, 2] = value
    stepper, model = make_stepper(make_module(norm="batch"))
    before = model.snapshot()
    judged: list[StepResult] = []
    result = stepper.step(
        make_batch(rows), 0.5, Wishes(), judge=lambda told: judged.append(told) is not None
    )
    assert (judged[0].has_finite_loss, judged[0].has_finite_gradient) == (False, False)
    assert not result.is_updated
    assert all(torch.equal(model.snapshot()[name], value) for name, value in before.items())


def test_rows_are_examined_one_by_one() -> None:
    rows = make_rows(8, weight=torch.arange(8.0))
    rows.x[5, 2] = torch.nan
    stepper, _ = make_stepper(make_module())
    found = stepper.examine(make_batch(rows))
    expected = nn.functional.cross_entropy(make_module()(rows.x), rows.y, reduction="none")
    torch.testing.assert_close(
        torch.from_numpy(found[:, 0]).float(), expected.detach() * rows.weight, equal_nan=True
    )
    assert found[:, 1].tolist() == [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "wishes", [Wishes(stop=True), Wishes(checkpoint=True), Wishes(is_time_up=True), Wishes()]
)
@pytest.mark.parametrize("count", [2, 8])
def test_wishes_travel_with_the_gradients(wishes: Wishes, count: int) -> None:
    stepper, _ = make_stepper(make_module())
    result = stepper.step(make_batch(make_rows(count)), 0.5, wishes)
    assert result == StepResult(result.loss_sum, float(count), wishes)


def test_dropout_depends_on_seed_step_and_part_alone() -> None:
    generator = torch.Generator()

    def first(*key: int) -> float:
        seed_part([generator], *key)
        return float(torch.rand(1, generator=generator))

    drawn = {key: first(*key) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}
    assert len(set(drawn.values())) == 4
    assert first(0, 1, 0) == drawn[0, 1, 0]


def test_tied_parameters_stay_tied() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(6, 6)
            self.outer = nn.Linear(6, 6)
            self.outer.weight = self.inner.weight
            self.last = nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            outputs: torch.Tensor = self.last(self.outer(self.inner(x)))
            return outputs

    stepper, model = make_stepper(Tied())
    stepper.step(make_batch(make_rows(8)), 0.5, Wishes())
    state, _ = model.final_weights()
    assert torch.equal(state["inner.weight"], state["outer.weight"])
    assert state["inner.weight"].data_ptr() != state["outer.weight"].data_ptr()
