"""`train.loss` by `target:`: what a user's loss returns, made a sum and the weight to divide it by.

A loss of outputs and targets returns the loss of each row, a sum with its weight, or one number for
the batch. That is taken as the mean over its rows, each of the same weight: mean x rows is the sum.

A loss of torch.nn is asked for the loss of each row instead, so that the weights of rows and
classes enter the divisor as they should: the mean of `nn.CrossEntropyLoss(weight=...)` over a part
of a batch, times its rows, would not.
"""

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, final

import torch
from torch import nn

from distrain.data.tensors import Rows
from distrain.errors import ModelError
from distrain.models.target import load_target
from distrain.train.returned import is_number, scalar, told

WHERE: Final = "train.loss.target"
_OF_TORCH: Final = "torch.nn.modules.loss"
_BY_CLASS: Final = (nn.CrossEntropyLoss, nn.NLLLoss)

Function = Callable[[torch.Tensor, torch.Tensor], Any]


@final
class OwnLoss:
    """A loss of the user's own.

    Args:
        target: its import path.
        function: outputs `(rows, k)` and targets to what it returns.
    """

    num_extras = 0  # sums beside the loss

    def __init__(self, target: str, function: Function) -> None:
        self._target = target
        self._function = function

    def __call__(self, outputs: torch.Tensor, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the sum of the rows' losses and the weight to divide it by, both scalars.

        Args:
            outputs: what the model returned, `(rows, k)`.
            rows: the rows it was given.

        Raises:
            ModelError: the function returned something else than it should.
        """
        returned = self._function(outputs, rows.y)
        if _is_by_row(returned, rows):
            if rows.weight is not None:
                return (returned * rows.weight).sum(), rows.weight.sum()
            return returned.sum(), torch.tensor(float(len(rows)), device=returned.device)
        loss_sum, weight = self._of_batch(returned, outputs, rows)
        return loss_sum.reshape(()), scalar(weight, loss_sum.device)

    def by_row(self, outputs: torch.Tensor, rows: Rows) -> torch.Tensor:
        """Return each row's loss, or its share of a sum, times its weight, `(rows,)`.

        Args:
            outputs: what the model returned, `(rows, k)`.
            rows: the rows it was given.
        """
        returned = self._function(outputs, rows.y)
        if _is_by_row(returned, rows):
            weighted: torch.Tensor = returned if rows.weight is None else returned * rows.weight
            return weighted
        loss_sum, _ = self._of_batch(returned, outputs, rows)
        return (loss_sum.reshape(()) / len(rows)).expand(len(rows))

    def check(self, outputs: torch.Tensor, rows: Rows) -> str:
        """Return what is assumed of the loss, in words; empty: nothing.

        The rows are given twice over, too: so it shows whether one number is their mean.

        Args:
            outputs: what the model returned, `(rows, k)`.
            rows: the rows it was given.

        Raises:
            ModelError: the function returned something else than it should.
        """
        with torch.no_grad():
            _, weight = self(outputs, rows)
            twice = torch.cat([outputs, outputs])
            given_weight = None if rows.weight is None else torch.cat([rows.weight, rows.weight])
            rows_twice = Rows(None, torch.cat([rows.y, rows.y]), given_weight)
            self(twice, rows_twice)
            if not float(weight) >= 0:
                raise self._refused(f"a weight of {float(weight)}", outputs, rows)
            once = self._function(outputs, rows.y)
            if not isinstance(once, torch.Tensor) or _is_by_row(once, rows):
                return ""
            again = self._function(twice, rows_twice.y)
        if float(once) != 0 and torch.allclose(again, 2 * once, rtol=1e-4, atol=0):
            raise self._refused(
                "one number, which is twice as large where the rows are given twice over: their "
                "sum, where a mean is meant",
                outputs,
                rows,
                "Return (loss, len(targets))",
            )
        return (
            f"{self._target} returns one number, which is taken as the mean over the rows that it "
            "is given, each of the same weight"
        )

    def _of_batch(
        self, returned: Any, outputs: torch.Tensor, rows: Rows
    ) -> tuple[torch.Tensor, Any]:
        """Return the sum and the weight of what is not by row."""
        is_pair = isinstance(returned, tuple | list) and len(returned) == 2
        loss, weight = returned if is_pair else (returned, len(rows))
        if not (isinstance(loss, torch.Tensor) and loss.numel() == 1 and is_number(weight)):
            raise self._refused(told(returned), outputs, rows)
        if rows.weight is not None:
            raise self._refused(
                f"{told(returned)}, in which the row weights of data.weight are not",
                outputs,
                rows,
            )
        return (loss, weight) if is_pair else (loss * len(rows), weight)

    def _refused(
        self,
        returned: str,
        outputs: torch.Tensor,
        rows: Rows,
        mend: str = "Sum or average over everything but the rows",
    ) -> ModelError:
        by_row = f"the loss of each row: a tensor of shape ({len(rows)},)"
        others = "; or (sum, weight), two numbers; or the mean over the rows, a scalar tensor"
        return ModelError(
            f"{self._target} was given outputs of shape {tuple(outputs.shape)} and targets of "
            f"shape {tuple(rows.y.shape)}, and returned {returned}",
            where=WHERE,
            expected=by_row + (others if rows.weight is None else ""),
            mend=mend,
        )


def own_function(
    target: str, args: Mapping[str, Any], device: torch.device, num_classes: int
) -> tuple[Function, torch.Tensor | None]:
    """Return the function that a target names, and the weights of classes that are its divisor's.

    Args:
        target: a function of (outputs, targets), or a class whose objects are called so.
        args: keyword arguments of the class, or further ones of the function; a list where a tensor
            is asked for becomes one.
        device: where the loss is computed.
        num_classes: of the target; 0: it has none.

    Returns:
        The function; and the weight of each class, `(classes,)`, where the function gives the loss
        of each row with these in it; or None.

    Raises:
        ModelError: it cannot be imported or made, or has parameters, which nothing would train.
    """
    found = load_target(target, where=WHERE)
    given = as_asked(found, args, device)
    if not isinstance(found, type | nn.Module):
        return (lambda outputs, y: found(outputs, y, **given)) if given else found, None
    try:
        loss = found(**given) if isinstance(found, type) else copy.deepcopy(found)
    except Exception as fault:  # the user's code may raise anything; told with its cause
        raise ModelError(
            f"{target} cannot be made with {', '.join(given) or 'no arguments'}: "
            f"{type(fault).__name__}: {fault}",
            where=WHERE,
            expected="arguments that its constructor takes",
            mend="Correct train.loss.args",
        ) from fault
    if not callable(loss):
        raise _not_called(target, type(loss).__name__)
    if not isinstance(loss, nn.Module):
        return loss, None
    if any(True for _ in loss.parameters()):
        raise ModelError(
            f"{target} has parameters, which nothing would train",
            where=WHERE,
            expected="a loss of outputs and targets alone",
            mend="Let the model have them, or write train.step",
        )
    loss.to(device)
    if type(loss).__module__ != _OF_TORCH:
        return loss, None
    return _by_row(loss, num_classes, device)


def _by_row(
    loss: Any, num_classes: int, device: torch.device
) -> tuple[Function, torch.Tensor | None]:
    """Return a loss of torch's as that of each row, and the weights that its mean divides by."""
    is_sum, is_mean = loss.reduction == "sum", loss.reduction == "mean"
    if not (is_sum or is_mean):
        return loss, None
    loss.reduction = "none"
    weights = None
    if is_mean and isinstance(loss, _BY_CLASS):
        if loss.weight is not None:
            weights = loss.weight.clone()
        elif 0 <= loss.ignore_index < num_classes:
            weights = torch.ones(num_classes, device=device)
        if weights is not None and 0 <= loss.ignore_index < len(weights):
            weights[loss.ignore_index] = 0.0

    def by_row(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        each: torch.Tensor = loss(outputs, y)
        flat = each.reshape(len(each), -1) if each.dim() > 1 else each
        if flat.dim() == 1:
            return flat
        return flat.sum(dim=1) if is_sum else flat.mean(dim=1)

    return by_row, weights


def as_asked(
    found: Callable[..., Any], args: Mapping[str, Any], device: torch.device
) -> dict[str, Any]:
    """Return arguments with lists of numbers as float32 tensors, where tensors are annotated."""

    def asked(name: str, value: Any) -> Any:
        is_list = isinstance(value, list) and all(isinstance(one, int | float) for one in value)
        named = inspect.signature(found).parameters.get(name) if is_list else None
        if named is None or "Tensor" not in str(named.annotation):
            return value
        return torch.tensor(value, dtype=torch.float32, device=device)

    return {name: asked(name, value) for name, value in args.items()}


def _is_by_row(returned: Any, rows: Rows) -> bool:
    return isinstance(returned, torch.Tensor) and returned.shape == (len(rows),)


def _not_called(target: str, kind: str) -> ModelError:
    return ModelError(
        f"{target} makes a {kind}, which cannot be called",
        where=WHERE,
        expected="a function of (outputs, targets), or a class whose objects are called so",
        mend="Write it with `def`, or give the class a method __call__ or forward",
    )
