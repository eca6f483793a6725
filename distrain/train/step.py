"""One optimizer step: each part forward and backward on its own, one sum, one update.

The vector that is summed over parts and workers:

    [ gradients | moving buffers | extras | loss sum, weight, stop, checkpoint, time is up ]

Extras are the sums and weights of what a step of the user's own returns beside its loss.
(Where parameters are sharded, their gradients take another way: see `sharded.py`.)

Its last words make one decision at one step on every worker of what only some of them know: that
the loss is not finite, that somebody was asked to stop, that rank zero's clock calls for a
checkpoint or for the end.
"""

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import torch

from distrain.data.loader import Part, StepBatch
from distrain.data.tensors import Rows
from distrain.models.build import InputNormalizer
from distrain.train.losses import OutputLoss, OwnStepLoss
from distrain.train.precision import LossScale, Precision, arithmetic
from distrain.train.reduce import TreeSum
from distrain.train.strategy import Gradients, TrainedModel
from distrain.train.world import World

NUM_WISHES: Final = 3
NUM_TALLIES: Final = 2 + NUM_WISHES


@final
@dataclass(frozen=True)
class Wishes:
    """What a worker would like to happen after the step; one wish is enough for all.

    Args:
        stop: it was asked to stop.
        checkpoint: it is time for one.
        is_time_up: training has taken as long as it may.
    """

    stop: bool = False
    checkpoint: bool = False
    is_time_up: bool = False


@final
@dataclass(frozen=True)
class StepResult:
    """What all workers know after a step.

    Attributes:
        loss_sum: sum of the rows' losses.
        weight: what to divide it by; 0: nothing was updated.
        wishes: what some worker wished for.
        has_finite_gradient: whether every element of the gradient's sum is finite.
        is_updated: whether the model was updated.
        extras: sums and weights, in turn, of what a step of the user's own returns.
    """

    loss_sum: float
    weight: float
    wishes: Wishes
    has_finite_gradient: bool = True
    is_updated: bool = True
    extras: tuple[float, ...] = ()

    @property
    def has_finite_loss(self) -> bool:
        """Return whether the loss is a finite number."""
        return math.isfinite(self.loss_sum) and math.isfinite(self.weight)

    @property
    def loss(self) -> float | None:
        """Return the mean loss; None where the rows have no weight."""
        return None if self.weight <= 0 else self.loss_sum / self.weight


def always(_result: StepResult) -> bool:
    """Judge every step to be worth its update."""
    return True


@final
class Stepper:
    """Takes optimizer steps; all workers must take the same ones.

    Args:
        model: the model, in training mode.
        loss: the loss.
        gradients: how those of the parts become an update of the model.
        tree: the sum over parts and workers, of vectors of `vector_length(model, gradients)`.
        normalizer: what stands before the model.
        seed: the run's seed.
        probe: rows as the model is fed them, for passes that count nothing.
        precision: of forward and backward passes.
        forward: what training runs in the model's stead, such as its compiled form; None: itself.
        world: sizes and ranks.
    """

    def __init__(  # noqa: PLR0913 - the ingredients of a step, each used in it once
        self,
        model: TrainedModel,
        loss: OutputLoss | OwnStepLoss,
        gradients: Gradients,
        tree: TreeSum,
        normalizer: InputNormalizer,
        *,
        seed: int,
        probe: Any,
        precision: Precision = "fp32",
        forward: Callable[[Any], torch.Tensor] | None = None,
        world: World,
    ) -> None:
        self._model = model
        self._loss = loss
        self._gradients = gradients
        self._tree = tree
        self._normalizer = normalizer
        self._seed = seed
        self._probe = probe
        self._precision: Precision = precision
        self._factor = 1.0
        self._network = model.module if forward is None else forward
        self._device = world.torch_device
        self._generators = generators_of(self._device)
        self._length = vector_length(model, gradients, loss.num_extras)
        self._end_of_buffers = self._length - NUM_TALLIES - loss.num_extras

    @property
    def exchange_s(self) -> float:
        """Return the seconds spent so far in the exchange between workers."""
        return self._tree.exchange_s

    def step(
        self,
        batch: StepBatch,
        lr: float,
        wishes: Wishes,
        judge: Callable[[StepResult], bool] = always,
        scale: LossScale | None = None,
    ) -> StepResult:
        """Sum the gradients of all parts over all workers and update the model once.

        Args:
            batch: this worker's parts of the step.
            lr: learning rate.
            wishes: this worker's.
            judge: given the sums, says whether the update is made; all workers must decide alike.
                What it raises ends the step with nothing changed.
            scale: fp16's; an overflow leaves the model without an update.
        """
        self._factor = 1.0 if scale is None else scale.factor(batch.num_rows)
        self._gradients.start(batch, self._nothing)
        total = self._tree.total(self._leaf(batch, wishes))
        result = self._result(total)
        if not judge(result):
            self._model.buffers.restore()
            return replace(result, is_updated=False)
        self._model.buffers.take(total[self._gradients.length : self._end_of_buffers])
        self._model.buffers.check_still(batch.step + 1)
        if scale is not None:
            scale.observe(has_overflown=not result.has_finite_gradient)
        if result.weight <= 0 or not result.has_finite_gradient:
            return replace(result, is_updated=False)
        self._gradients.update(total, result.weight * self._factor, lr)
        return result

    def examine(self, batch: StepBatch) -> npt.NDArray[np.float64]:
        """Run this worker's parts of a step again, to see which rows made it what it was.

        Args:
            batch: a step whose update was not made.

        Returns:
            For each of its rows, in order, the loss and whether its part's gradient is finite,
            `(rows, 2)`.
        """
        found = [np.zeros((0, 2))]
        parts = {part.index: part for part in batch.parts}
        for index in self._gradients.turns(batch):
            if index not in parts:
                self._gradients.look_on()
                continue
            outputs, rows = self._forward(batch, parts[index])
            losses = self._loss.by_row(outputs, rows)
            is_finite = self._gradients.is_finite_alone(self._scaled(losses.sum()))
            by_row = losses.detach().double().cpu().numpy()
            found.append(np.column_stack([by_row, np.full(len(by_row), float(is_finite))]))
        return np.concatenate(found)

    def _result(self, total: torch.Tensor) -> StepResult:
        tallies = total[self._end_of_buffers : self._length]
        # One transfer.
        checksum, *numbers = torch.cat([self._gradients.checksum(total), tallies]).tolist()
        has_finite_gradient = math.isfinite(checksum) or self._gradients.is_finite(total)
        loss_sum, weight, *wishes = numbers[-NUM_TALLIES:]
        return StepResult(
            loss_sum,
            weight,
            Wishes(*(wish > 0 for wish in wishes)),
            has_finite_gradient,
            extras=tuple(numbers[:-NUM_TALLIES]),
        )

    def _leaf(self, batch: StepBatch, wishes: Wishes) -> Callable[[int, torch.Tensor, bool], None]:
        parts = {part.index: part for part in batch.parts}
        said_so = [float(wishes.stop), float(wishes.checkpoint), float(wishes.is_time_up)]
        words = torch.tensor(said_so, device=self._device)
        nothing = torch.zeros(NUM_WISHES, device=self._device)
        has_spoken = False

        def leaf(index: int, out: torch.Tensor, add: bool) -> None:
            nonlocal has_spoken
            said = nothing if has_spoken else words
            has_spoken = True
            if index in parts:
                self._run_part(batch, parts[index], out, add, said)
            else:
                # Adding zeros is no idle act: it is what happens between workers, and it turns
                # -0.0 into 0.0.
                _put(out, torch.zeros_like(out), add)
                out[self._length - NUM_WISHES : self._length] += said

        return leaf

    def _run_part(
        self, batch: StepBatch, part: Part, out: torch.Tensor, add: bool, said: torch.Tensor
    ) -> None:
        outputs, rows = self._forward(batch, part)
        loss_sum, weight = self._loss(outputs, rows)
        self._gradients.put(self._scaled(loss_sum), out, add)
        self._model.buffers.write(
            out[self._gradients.length : self._end_of_buffers],
            add=add,
            fraction=len(rows) / batch.num_rows,
            is_first=part.index == 0,
        )
        if isinstance(self._loss, OwnStepLoss):
            _put(
                out[self._end_of_buffers : self._length - NUM_TALLIES],
                self._loss.extras(outputs),
                add,
            )
        tally = torch.cat([loss_sum.detach().view(1), weight.view(1), said])
        _put(out[self._length - NUM_TALLIES : self._length], tally, add)

    def _forward(self, batch: StepBatch, part: Part) -> tuple[torch.Tensor, Rows]:
        rows = part.rows.to(self._device)
        seed_part(self._generators, self._seed, batch.step, part.index)
        self._model.buffers.restore()
        x = self._normalizer(rows.x)
        with arithmetic(self._precision, self._device):
            outputs = self._network(x)
        return outputs.float(), rows

    def _scaled(self, loss_sum: torch.Tensor) -> torch.Tensor:
        return loss_sum if self._factor == 1.0 else loss_sum * self._factor

    def _nothing(self) -> torch.Tensor:
        """Run a forward pass because others run one; what it does to buffers is put back later."""
        with arithmetic(self._precision, self._device):
            outputs = self._network(self._probe)
        return (outputs.float() * 0.0).sum()


def vector_length(model: TrainedModel, gradients: Gradients, num_extras: int = 0) -> int:
    """Return the length of the vector that a step sums."""
    return gradients.length + model.buffers.size + num_extras + NUM_TALLIES


def seed_part(generators: Iterable[torch.Generator], seed: int, step: int, part: int) -> None:
    """Key torch's random numbers by (seed, step, part), whoever computes the part."""
    digest = hashlib.blake2b(f"{seed}/{step}/{part}".encode(), digest_size=8).digest()
    number = int.from_bytes(digest, "little") >> 1
    for generator in generators:
        generator.manual_seed(number)


def generators_of(device: torch.device) -> list[torch.Generator]:
    """Return torch's own generators that a model may draw from on a device."""
    found = [torch.default_generator]
    if device.type == "cuda":
        torch.cuda.current_stream(device)  # creates the context, and with it the generators
        found.append(torch.cuda.default_generators[device.index or 0])
    return found


def _put(out: torch.Tensor, values: torch.Tensor, add: bool) -> None:
    if add:
        out.add_(values)
    else:
        out.copy_(values)
