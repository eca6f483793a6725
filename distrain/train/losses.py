"""Losses by name: outputs and targets to a sum and the weight that the sum is divided by.

The division comes once, after the sums of all parts and workers, so that a step's loss is the
weighted mean over its rows however they were cut.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

import torch
from torch.nn import functional

from distrain.data.features import Transform, label_text
from distrain.data.tensors import Rows
from distrain.errors import ModelError, did_you_mean
from distrain.train.own_loss import OwnLoss, own_function

RowLosses = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@final
class Loss:
    """A loss of rows, with the weights of rows and classes.

    Args:
        row_losses: outputs `(rows, k)` and targets to the loss of each row, `(rows,)`; class
            weights are already in it.
        class_weights: weight of each class, which enters the divisor, `(classes,)`; or None.
    """

    num_extras = 0  # sums beside the loss

    def __init__(self, row_losses: RowLosses, class_weights: torch.Tensor | None = None) -> None:
        self._row_losses = row_losses
        self._class_weights = class_weights

    def __call__(self, outputs: torch.Tensor, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the sum of the rows' losses and the weight to divide it by, both scalars.

        Args:
            outputs: what the model returned, `(rows, k)`.
            rows: the rows it was given.
        """
        losses = self.by_row(outputs, rows)
        weights = None if self._class_weights is None else self._class_weights[rows.y]
        if rows.weight is not None:
            weights = rows.weight if weights is None else weights * rows.weight
        if weights is None:
            return losses.sum(), torch.tensor(float(len(rows)), device=losses.device)
        return losses.sum(), weights.sum()

    def by_row(self, outputs: torch.Tensor, rows: Rows) -> torch.Tensor:
        """Return each row's loss times the weights of its row and class, `(rows,)`.

        Args:
            outputs: what the model returned, `(rows, k)`.
            rows: the rows it was given.
        """
        losses = self._row_losses(outputs, rows.y)
        return losses if rows.weight is None else losses * rows.weight


@final
class OwnStepLoss:
    """Takes apart what `own_step.OwnStep` returns, as `Loss` makes a loss of a model's outputs.

    Args:
        names: of the numbers beside the loss.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.num_extras = 2 * len(names)

    def __call__(self, outputs: torch.Tensor, _rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the sum of the loss and the weight to divide it by, both scalars."""
        return outputs[0], outputs[1].detach()

    def by_row(self, outputs: torch.Tensor, rows: Rows) -> torch.Tensor:
        """Return each row's share of the loss, `(rows,)`: of a batch no more is known."""
        return (outputs[0] / len(rows)).expand(len(rows))

    def extras(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the sums and weights beside the loss, `(num_extras,)`."""
        return outputs[2:].detach()


OutputLoss = Loss | OwnLoss
"""What makes a loss of a model's outputs."""


def build_loss(
    spec: Mapping[str, Any],
    *,
    transform: Transform,
    class_counts: Callable[[], Sequence[int]],
    device: torch.device,
) -> OutputLoss:
    """Return the loss that a `train.loss` section describes.

    Args:
        spec: `{"name": ..., ...}` or `{"target": "package.module:function", "args": {...}}`.
        transform: the fitted transform, which knows the classes.
        class_counts: gives the training rows of each class; asked only for balanced weights.
        device: where the loss is computed.

    Raises:
        ModelError: there is no such loss or function, or a class weight names no class.
    """
    if "target" in spec:
        target, args = str(spec["target"]), spec.get("args") or {}
        function, by_class = own_function(target, args, device, len(transform.classes))
        return OwnLoss(target, function) if by_class is None else Loss(function, by_class)
    name = str(spec["name"])
    if name == "cross_entropy":
        names = [label_text(label) for label in transform.classes]
        weights = _class_weights(spec.get("class_weights"), names, class_counts)
        tensor = None if weights is None else torch.tensor(weights, device=device)
        return Loss(_CrossEntropy(tensor, float(spec.get("label_smoothing", 0.0))), tensor)
    if name not in REGRESSION_LOSSES:
        raise ModelError(
            f"no loss is called {name!r}",
            where="train.loss.name",
            mend=did_you_mean(name, ["cross_entropy", *REGRESSION_LOSSES]),
        )
    return Loss(REGRESSION_LOSSES[name](spec))


def default_loss(task: str) -> dict[str, Any]:
    """Return the `train.loss` section of a task: cross entropy for classes, else squared error."""
    return {"name": "cross_entropy" if task == "classification" else "mse"}


@final
class _CrossEntropy:
    def __init__(self, weights: torch.Tensor | None, label_smoothing: float) -> None:
        self._weights = weights
        self._label_smoothing = label_smoothing

    def __call__(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(
            outputs,
            y,
            weight=self._weights,
            reduction="none",
            label_smoothing=self._label_smoothing,
        )


def _mse(_spec: Mapping[str, Any]) -> RowLosses:
    return lambda outputs, y: (outputs - y).square().mean(dim=1)


def _mae(_spec: Mapping[str, Any]) -> RowLosses:
    return lambda outputs, y: (outputs - y).abs().mean(dim=1)


def _huber(spec: Mapping[str, Any]) -> RowLosses:
    delta = float(spec.get("delta", 1.0))
    return lambda outputs, y: functional.huber_loss(outputs, y, reduction="none", delta=delta).mean(
        dim=1
    )


REGRESSION_LOSSES: Final[Mapping[str, Callable[[Mapping[str, Any]], RowLosses]]] = {
    "mse": _mse,
    "mae": _mae,
    "huber": _huber,
}


def _class_weights(
    asked: Mapping[str, float] | str | None,
    class_names: Sequence[str],
    class_counts: Callable[[], Sequence[int]],
) -> list[float] | None:
    if asked is None:
        return None
    if isinstance(asked, str):
        counts = class_counts()
        # As scikit-learn's "balanced": a class without rows has no weight to give.
        present = sum(1 for count in counts if count)
        return [sum(counts) / (present * count) if count else 0.0 for count in counts]
    for name in asked:
        if name not in class_names:
            raise ModelError(
                f"{name!r} is not a class",
                where="train.loss.class_weights",
                mend=did_you_mean(name, class_names, listed="Classes"),
            )
    return [float(asked.get(name, 1.0)) for name in class_names]
