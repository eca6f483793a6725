"""One optimizer step: each part forward and backward on its own, one sum, one update.

The vector that is summed over parts and workers:

    [ gradients | moving buffers | loss sum, weight, stop, checkpoint ]

Its last words make one decision at one step on every worker of what only some of them know: that
the loss is not finite, that somebody was asked to stop, that rank zero's clock calls for a
checkpoint.
"""

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, final

import torch

from distrain.data.loader import Part, StepBatch
from distrain.errors import TrainError
from distrain.models.build import InputNormalizer
from distrain.train.flat import FlatModel
from distrain.train.losses import Loss
from distrain.train.reduce import TreeSum
from distrain.train.world import World

NUM_TALLIES: Final = 4


@final
@dataclass(frozen=True)
class Wishes:
    """What a worker would like to happen after the step; one wish is enough for all.

    Args:
        stop: it was asked to stop.
        checkpoint: it is time for one.
    """

    stop: bool = False
    checkpoint: bool = False


@final
@dataclass(frozen=True)
class StepResult:
    """What all workers know after a step.

    Attributes:
        loss_sum: sum of the rows' losses.
        weight: what to divide it by; 0: nothing was updated.
        wishes: what some worker wished for.
    """

    loss_sum: float
    weight: float
    wishes: Wishes


@final
class Stepper:
    """Takes optimizer steps; all workers must take the same ones.

    Args:
        model: the model, in training mode.
        loss: the loss.
        optimizer: over `model.vector`.
        tree: the sum over parts and workers, of vectors of `vector_length(model)`.
        normalizer: what stands before the model.
        seed: the run's seed.
        clip_norm: greatest L2 norm of the gradient, or None.
        world: sizes and ranks.
    """

    def __init__(  # noqa: PLR0913 - the ingredients of a step, each used in it once
        self,
        model: FlatModel,
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        tree: TreeSum,
        normalizer: InputNormalizer,
        *,
        seed: int,
        clip_norm: float | None,
        world: World,
    ) -> None:
        self._model = model
        self._loss = loss
        self._optimizer = optimizer
        self._tree = tree
        self._normalizer = normalizer
        self._seed = seed
        self._clip_norm = clip_norm
        self._device = world.torch_device
        self._generators = _generators(self._device)
        self._num_gradients = model.vector.numel()
        self._length = vector_length(model)
        self._gradient = torch.zeros_like(model.vector.data)
        model.vector.grad = self._gradient
        self._views: dict[int, list[torch.Tensor]] = {}

    @property
    def exchange_s(self) -> float:
        """Return the seconds spent so far in the exchange between workers."""
        return self._tree.exchange_s

    def step(self, batch: StepBatch, lr: float, wishes: Wishes) -> StepResult:
        """Sum the gradients of all parts over all workers and update the model once.

        Args:
            batch: this worker's parts of the step.
            lr: learning rate.
            wishes: this worker's.

        Raises:
            TrainError: the loss is not finite; on every worker alike, before the update.
        """
        total = self._tree.total(self._leaf(batch, wishes))
        result = _result(total[self._length - NUM_TALLIES : self._length].tolist())
        _check_finite(result, batch)
        self._model.buffers.take(total[self._num_gradients : self._length - NUM_TALLIES])
        self._model.buffers.check_still(batch.step + 1)
        if result.weight > 0:
            self._update(total[: self._num_gradients], result.weight, lr)
        return result

    def _update(self, total: torch.Tensor, weight: float, lr: float) -> None:
        gradient = torch.div(total, weight, out=self._gradient)
        if self._clip_norm is not None:
            norm = torch.linalg.vector_norm(gradient)
            gradient.mul_((self._clip_norm / (norm + 1e-6)).clamp_(max=1.0))
        self._optimizer.param_groups[0]["lr"] = lr
        self._optimizer.step()

    def _leaf(self, batch: StepBatch, wishes: Wishes) -> Callable[[int, torch.Tensor, bool], None]:
        parts = {part.index: part for part in batch.parts}
        words = torch.tensor([float(wishes.stop), float(wishes.checkpoint)], device=self._device)
        nothing = torch.zeros(2, device=self._device)
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
                out[self._length - 2 : self._length] += said

        return leaf

    def _run_part(
        self, batch: StepBatch, part: Part, out: torch.Tensor, add: bool, said: torch.Tensor
    ) -> None:
        model = self._model
        rows = part.rows.to(self._device)
        seed_part(self._generators, self._seed, batch.step, part.index)
        model.buffers.restore()
        outputs = model.module(self._normalizer(rows.x))
        loss_sum, weight = self._loss(outputs, rows)
        gradients = torch.autograd.grad(
            loss_sum, model.trained, allow_unused=True, materialize_grads=True
        )
        views = self._views_of(out)
        if add:
            torch._foreach_add_(views, gradients)
        else:
            torch._foreach_copy_(views, gradients)
        model.buffers.write(
            out[self._num_gradients : self._length - NUM_TALLIES],
            add=add,
            fraction=len(rows) / batch.num_rows,
            is_first=part.index == 0,
        )
        tally = torch.cat([loss_sum.detach().view(1), weight.view(1), said])
        _put(out[self._length - NUM_TALLIES : self._length], tally, add)

    def _views_of(self, out: torch.Tensor) -> list[torch.Tensor]:
        # The sum uses a few vectors over and over; cutting them up again would cost more than
        # filling them.
        views = self._views.get(out.data_ptr())
        if views is None:
            views = self._views[out.data_ptr()] = self._model.cut(out)
        return views


def vector_length(model: FlatModel) -> int:
    """Return the length of the vector that a step sums."""
    return model.vector.numel() + model.buffers.size + NUM_TALLIES


def seed_part(generators: Iterable[torch.Generator], seed: int, step: int, part: int) -> None:
    """Key torch's random numbers by (seed, step, part), whoever computes the part."""
    digest = hashlib.blake2b(f"{seed}/{step}/{part}".encode(), digest_size=8).digest()
    number = int.from_bytes(digest, "little") >> 1
    for generator in generators:
        generator.manual_seed(number)


def _generators(device: torch.device) -> list[torch.Generator]:
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


def _result(tally: list[float]) -> StepResult:
    loss_sum, weight, stop, checkpoint = tally
    return StepResult(loss_sum, weight, Wishes(stop > 0, checkpoint > 0))


def _check_finite(result: StepResult, batch: StepBatch) -> None:
    if math.isfinite(result.loss_sum) and math.isfinite(result.weight):
        return
    raise TrainError(
        f"the loss is {result.loss_sum}",
        where=f"step {batch.step + 1}, epoch {batch.epoch + 1}",
        expected="a finite number",
        mend="Lower train.optimizer.lr, set train.gradient_clip_norm, or look for extreme values "
        "in the data",
    )
