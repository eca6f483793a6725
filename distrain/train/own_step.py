"""`train.step`: how a batch becomes a loss is the user's own function.

It is given the model and a batch as the Dataset's collate function made it, and returns the sum of
a loss, the weight to divide it by, and numbers to record. Sum, weight and numbers travel with the
gradients, so that the record has the same bits on any number of workers.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

import numpy as np
import torch
from torch import nn

from distrain.data.own.split import OwnSplit
from distrain.data.plan import evaluation_batches
from distrain.data.tensors import moved
from distrain.errors import ModelError
from distrain.models.check import in_training_mode
from distrain.models.target import load_target
from distrain.train.collective import gather_rows
from distrain.train.metrics import Metric
from distrain.train.returned import is_number, scalar, told
from distrain.train.step import generators_of, seed_part
from distrain.train.world import World, shares

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
_TAKEN: Final = ("loss", "lr")
_EXPECTED: Final = (
    "(loss_sum, weight) or (loss_sum, weight, metrics): a scalar tensor, a number, and a dict of "
    "name to a number or to (sum, weight)"
)
# Stands for the step in the keys of what a step draws in evaluation.
_EVALUATION: Final = -1


@final
class OwnStep:
    """Runs a model as the user's function does.

    Args:
        target: its import path.
        module: the network.
        names: of the numbers that it returns, once they are known.
    """

    def __init__(self, target: str, module: nn.Module, names: Sequence[str] = ()) -> None:
        self.target = target
        self.names = tuple(names)
        self._module = module
        self._function: Callable[..., Any] = load_target(target, where="train.step")

    def __call__(self, batch: Any) -> torch.Tensor:
        """Return the sum of the loss, its weight, and for each name a sum and a weight, `(n,)`.

        Raises:
            ModelError: the function returned something else than it should, or other names than
                before.
        """
        loss_sum, weight, metrics = self._returned(batch)
        if tuple(metrics) != self.names:
            raise self._refused(
                f"returned the metrics {_listed(metrics)}, after {_listed(self.names)}",
                "the same names for every batch",
            )
        device = loss_sum.device
        numbers = [weight, *(number for pair in metrics.values() for number in pair)]
        scalars = [scalar(number, device) for number in numbers]
        return torch.stack([loss_sum.float().reshape(()), *scalars])

    def found_names(self, batch: Any) -> tuple[str, ...]:
        """Return the names of the numbers that the function returns for a batch.

        The model is left as it was.

        Raises:
            ModelError: the function failed, or returned something else than it should.
        """
        with in_training_mode(self._module), torch.random.fork_rng(devices=[]):
            try:
                loss_sum, _, metrics = self._returned(batch)
            except ModelError:
                raise
            except Exception as fault:  # the user's code may raise anything; told with its cause
                raise self._refused(
                    f"failed on the first batch: {type(fault).__name__}: {fault}", _EXPECTED
                ) from fault
            self._check_trainable(loss_sum)
        return tuple(metrics)

    def _check_trainable(self, loss_sum: torch.Tensor) -> None:
        trained = [one for one in self._module.parameters() if one.requires_grad]
        found = (
            torch.autograd.grad(loss_sum, trained, allow_unused=True)
            if trained and loss_sum.requires_grad
            else []
        )
        if all(gradient is None for gradient in found):
            raise self._refused(
                "returned a loss that depends on no trained parameter of the model",
                "a loss that was computed by calling the model that it is given, and not detached",
            )

    def _returned(self, batch: Any) -> tuple[torch.Tensor, Any, dict[str, tuple[Any, Any]]]:
        returned = self._function(self._module, batch)
        is_whole = isinstance(returned, tuple | list) and len(returned) in (2, 3)
        if not is_whole:
            raise self._refused(f"returned {told(returned)}", _EXPECTED)
        loss_sum, weight, *rest = returned
        if not isinstance(loss_sum, torch.Tensor) or loss_sum.numel() != 1:
            raise self._refused(f"returned as loss_sum {told(loss_sum)}", _EXPECTED)
        if not is_number(weight):
            raise self._refused(f"returned as weight {told(weight)}", _EXPECTED)
        metrics = rest[0] if rest and rest[0] is not None else {}
        if not isinstance(metrics, Mapping):
            raise self._refused(f"returned as metrics {told(metrics)}", _EXPECTED)
        return (
            loss_sum,
            weight,
            {str(name): self._pair(str(name), value, weight) for name, value in metrics.items()},
        )

    def _pair(self, name: str, value: Any, weight: Any) -> tuple[Any, Any]:
        """Return the sum and the weight of a number; one alone is a mean over the batch."""
        if not _NAME.fullmatch(name) or name in _TAKEN:
            raise self._refused(
                f"returned a metric called {name!r}",
                f"names of letters, digits and ._-, other than {' and '.join(_TAKEN)}",
            )
        if isinstance(value, tuple | list) and len(value) == 2 and all(map(is_number, value)):
            return value[0], value[1]
        if not is_number(value):
            raise self._refused(f"returned as metric {name!r} {told(value)}", _EXPECTED)
        return value * weight, weight

    def _refused(self, fault: str, expected: str) -> ModelError:
        return ModelError(
            f"{self.target} {fault}", where="train.step", expected=expected, mend="Correct it"
        )


@final
class OwnStepEvaluator:
    """Measures a model on a split by the user's function; all workers must call alike.

    Args:
        module: the network; it is put in evaluation mode for the time.
        step: runs it.
        world: sizes and ranks.
    """

    def __init__(self, module: nn.Module, step: OwnStep, world: World) -> None:
        self._module = module
        self._step = step
        self._world = world
        self._generators = generators_of(world.torch_device)

    def measure(self, split: Any, _metrics: Sequence[Metric]) -> dict[str, float]:
        """Return the loss and what else the function returns, over all rows of a split."""
        assert isinstance(split, OwnSplit)
        batches = evaluation_batches(split.num_rows, split.batch_rows)
        own = shares(len(batches), self._world.world_size)
        numbers = own[self._world.world_rank]
        found = [np.zeros((0, 2 + 2 * len(self._step.names)))]
        was_training = self._module.training
        self._module.eval()
        with torch.no_grad():
            read = split.batches([batches[number] for number in numbers])
            for number, batch in zip(numbers, read, strict=True):
                given = moved(batch, self._world.torch_device)
                seed_part(self._generators, 0, _EVALUATION, number)
                found.append(self._step(given).double().cpu().numpy().reshape(1, -1))
        self._module.train(was_training)
        counts = [len(share) for share in own]
        totals = gather_rows(np.concatenate(found), counts, self._world).sum(axis=0)
        sums, weights = totals[0::2], totals[1::2]
        means = np.divide(sums, weights, out=np.full(len(sums), np.nan), where=weights > 0)
        return dict(zip(("loss", *self._step.names), map(float, means), strict=True))

    def assess(
        self, split: Any, metrics: Sequence[Metric]
    ) -> tuple[dict[str, float], dict[str, Any]]:
        """Return what `measure` does; where the model is wrong, the function does not tell."""
        return self.measure(split, metrics), {}


def _listed(names: Any) -> str:
    return ", ".join(names) or "none"
