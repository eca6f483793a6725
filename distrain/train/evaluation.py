"""One pass over a split: every row once, in batches that depend on nothing but the split's size.

Workers take contiguous runs of batches. Sums are float64 by batch, gathered and added in batch
order on every worker, so metrics and what is decided by them have the same bits on any number of
workers.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch

from distrain.data.features import Transform, label_text
from distrain.data.own.split import OwnSplit
from distrain.data.plan import evaluation_batches, filled_up
from distrain.data.prepared import Split
from distrain.data.tensors import Rows, to_rows, to_tensor
from distrain.errors import TrainError
from distrain.models.build import InputNormalizer
from distrain.models.feeding import Network
from distrain.train import mistakes
from distrain.train.collective import (
    from_rank_zero,
    gather_rows,
    raise_with_rank_zero,
    sum_counts,
)
from distrain.train.losses import OutputLoss
from distrain.train.metrics import (
    Floats,
    Ints,
    Metric,
    classification_metrics,
    metrics_from_predictions,
    regression_metrics,
)
from distrain.train.world import World, shares

AnySplit = Split | OwnSplit


@dataclass
class _Sums:
    """What a worker adds up over its batches.

    Attributes:
        batches: by batch: loss sum, weight, and for regression four sums by target.
        confusion: rows by true and predicted class; in the end those of all workers.
        outputs: outputs by batch, where predictions are needed.
        targets: what they should have been.
    """

    batches: list[Floats]
    confusion: Ints
    outputs: list[npt.NDArray[np.float32]]
    targets: list[npt.NDArray[Any]]


@dataclass(frozen=True)
class _Measured:
    """What was measured, and what it was measured from.

    Attributes:
        values: metrics by name.
        confusion: rows by true and predicted class; empty where there are no classes.
        outputs: of all rows; empty where predictions were not needed.
        targets: what they should have been.
    """

    values: dict[str, float]
    confusion: Ints
    outputs: npt.NDArray[np.float32]
    targets: npt.NDArray[Any]


@final
class Evaluator:
    """Measures a model on a split; all workers must call alike.

    Args:
        module: the network; it is put in evaluation mode for the time.
        normalizer: what stands before it.
        loss: the loss.
        transform: the fitted transform.
        world: sizes and ranks.
        is_sharded: whether all workers must run the module equally often.
        network: what runs the module with a batch; None: the module itself.
    """

    def __init__(  # noqa: PLR0913 - the ingredients of a measurement
        self,
        module: torch.nn.Module,
        normalizer: InputNormalizer,
        loss: OutputLoss,
        transform: Transform,
        world: World,
        *,
        is_sharded: bool = False,
        network: Network | None = None,
    ) -> None:
        self._module = module
        self._network = network or module
        self._normalizer = normalizer
        self._loss = loss
        self._transform = transform
        self._world = world
        self._is_sharded = is_sharded
        self._is_classification = transform.task == "classification"
        self._mean = torch.tensor(transform.target_mean, dtype=torch.float64)
        self._std = torch.tensor(transform.target_std, dtype=torch.float64)

    def measure(self, split: AnySplit, metrics: Sequence[Metric]) -> dict[str, float]:
        """Return the loss and other metrics of the model on a split; from sums, where these do.

        Args:
            split: which rows.
            metrics: what else than the loss.

        Raises:
            TrainError: a metric of the user's failed; on every worker alike.
        """
        return self._measure(split, metrics, by_predictions=False).values

    def assess(
        self, split: AnySplit, metrics: Sequence[Metric]
    ) -> tuple[dict[str, float], dict[str, Any]]:
        """Return the final model's metrics, and where it is wrong; all workers must call.

        Args:
            split: which rows.
            metrics: what else than the loss; all of them come from decoded predictions.

        Returns:
            What `measure` returns, and what `mistakes` counts.

        Raises:
            TrainError: as `measure`.
        """
        measured, transform = self._measure(split, metrics, by_predictions=True), self._transform
        if self._is_classification:
            labels = [label_text(label) for label in transform.classes]
            return measured.values, mistakes.of_classes(measured.confusion, labels)
        predictions = transform.decode(measured.outputs)
        said = np.stack([column.to_numpy() for column in predictions.columns], axis=1)
        return measured.values, mistakes.of_numbers(measured.targets, said, transform.targets)

    def _measure(
        self, split: AnySplit, metrics: Sequence[Metric], *, by_predictions: bool
    ) -> _Measured:
        decoded = [metric for metric in metrics if by_predictions or metric.needs_predictions]
        keeps = bool(decoded) or (by_predictions and not self._is_classification)
        batches = evaluation_batches(split.num_rows, split.batch_rows)
        own = shares(len(batches), self._world.world_size)
        sums = self._pass(split, batches, own[self._world.world_rank], keeps)
        if self._is_sharded:
            self._keep_up(split, max(map(len, own)) - len(own[self._world.world_rank]))
        values = self._from_sums(sums, split.num_rows, [len(share) for share in own])
        rows = [sum(batches[i][1] - batches[i][0] for i in share) for share in own]
        outputs, targets = self._gathered(sums, rows if keeps else None)
        if decoded:
            values |= self._from_predictions(outputs, targets, decoded)
        names = ("loss", *(metric.name for metric in metrics))
        return _Measured({name: values[name] for name in names}, sums.confusion, outputs, targets)

    def outputs(self, split: AnySplit, num_rows: int) -> torch.Tensor:
        """Return the model's outputs for the first rows of a split, `(rows, outputs)` on the CPU.

        Args:
            split: which rows; not empty.
            num_rows: how many, at most.
        """
        rows = to_rows(split.slice(0, min(num_rows, split.num_rows))).to(self._world.torch_device)
        with self._evaluating():
            return forward(self._network, self._normalizer, rows.x).to(torch.float32).cpu()

    def _pass(
        self, split: AnySplit, batches: list[tuple[int, int]], own: range, keep: bool
    ) -> _Sums:
        num_classes = len(self._transform.classes) if self._is_classification else 0
        sums = _Sums([], np.zeros((num_classes, num_classes), dtype=np.int64), [], [])
        with self._evaluating():
            for columns in split.slices([batches[number] for number in own]):
                self._add_batch(sums, columns, keep)
        return sums

    def _keep_up(self, split: AnySplit, num_passes: int) -> None:
        """Run the module as often as others do who have more batches; nothing is counted."""
        rows = to_rows(split.slice(0, min(2, split.num_rows))).to(self._world.torch_device)
        with self._evaluating():
            for _ in range(num_passes):
                forward(self._network, self._normalizer, rows.x)

    @contextlib.contextmanager
    def _evaluating(self) -> Iterator[None]:
        was_training = self._module.training
        self._module.eval()
        # What a sharded module puts together in inference mode would be of no use in training.
        with torch.no_grad() if self._is_sharded else torch.inference_mode():
            yield
        self._module.train(was_training)

    def _add_batch(self, sums: _Sums, columns: dict[str, npt.NDArray[Any]], keep: bool) -> None:
        rows = to_rows(columns).to(self._world.torch_device)
        outputs = forward(self._network, self._normalizer, rows.x)
        loss_sum, weight = self._loss(outputs, rows)
        tally = [torch.stack([loss_sum.double(), weight.double()])]
        if self._is_classification:
            sums.confusion += _confusion(outputs, rows, len(sums.confusion))
        else:
            targets = to_tensor(columns["target"]).to(outputs.device)
            tally.append(self._errors(outputs, targets))
        sums.batches.append(torch.cat(tally).cpu().numpy())
        if keep:
            sums.outputs.append(outputs.cpu().numpy())
            wanted = columns["y" if self._is_classification else "target"]
            sums.targets.append(wanted.reshape(len(wanted), -1))

    def _errors(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        mean, std = self._mean.to(outputs.device), self._std.to(outputs.device)
        errors = outputs.double() * std + mean - targets
        # Less the training mean, the squares keep their digits.
        shifted = targets - mean
        sums = [errors.square(), errors.abs(), shifted, shifted.square()]
        return torch.stack([values.sum(dim=0) for values in sums]).flatten()

    def _from_sums(self, sums: _Sums, num_rows: int, counts: list[int]) -> dict[str, float]:
        width = 2 + (0 if self._is_classification else 4 * len(self._mean))
        own = np.stack(sums.batches) if sums.batches else np.zeros((0, width))
        totals = gather_rows(own, counts, self._world).sum(axis=0)
        loss = float(totals[0] / totals[1]) if totals[1] > 0 else math.nan
        if self._is_classification:
            confusion = sum_counts(sums.confusion, self._world)
            sums.confusion = confusion
            positive = self._transform.positive if len(confusion) == 2 else None
            return {"loss": loss, **classification_metrics(confusion, positive)}
        return {"loss": loss, **regression_metrics(num_rows, totals[2:].reshape(4, -1))}

    def _gathered(
        self, sums: _Sums, rows: list[int] | None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
        """Return outputs and targets of all workers; none where `rows`, of each worker, is None."""
        num_outputs = self._transform.num_outputs
        no_outputs = np.zeros((0, num_outputs), dtype=np.float32)
        no_targets = (
            np.zeros((0, 1), dtype=np.int64)
            if self._is_classification
            else np.zeros((0, num_outputs))
        )
        if rows is None:
            return no_outputs, no_targets
        outputs = gather_rows(np.concatenate([no_outputs, *sums.outputs]), rows, self._world)
        targets = gather_rows(np.concatenate([no_targets, *sums.targets]), rows, self._world)
        return outputs, targets

    def _from_predictions(
        self,
        outputs: npt.NDArray[np.float32],
        targets: npt.NDArray[Any],
        metrics: Sequence[Metric],
    ) -> dict[str, float]:
        values = dict.fromkeys((metric.name for metric in metrics), math.nan)
        failed: TrainError | None = None
        if self._world.is_rank_zero:
            targets = targets[:, 0] if self._is_classification else targets
            predictions = self._transform.decode(outputs)
            try:
                values = metrics_from_predictions(metrics, self._transform, targets, predictions)
            except TrainError as fault:
                failed = fault
        raise_with_rank_zero(failed, self._world)
        shared = from_rank_zero(list(values.values()), self._world)
        return dict(zip(values, shared, strict=True))


def forward(network: Network, normalizer: InputNormalizer, x: Any) -> torch.Tensor:
    """Return a model's outputs on a batch, `(rows, outputs)`.

    Args:
        network: runs the model, which is in evaluation mode.
        normalizer: what stands before it.
        x: at least one row; what is no single tensor is not filled up.
    """
    if not isinstance(x, torch.Tensor):
        given: torch.Tensor = network(x)
        return given
    rows = filled_up(len(x))
    filled = x if len(rows) == len(x) else x[torch.from_numpy(rows).to(x.device)]
    outputs: torch.Tensor = network(normalizer(filled))
    return outputs[: len(x)]


def _confusion(outputs: torch.Tensor, rows: Rows, num_classes: int) -> Ints:
    cells = rows.y * num_classes + outputs.argmax(dim=1)
    counts = np.bincount(cells.cpu().numpy(), minlength=num_classes * num_classes)
    return counts.reshape(num_classes, num_classes).astype(np.int64)
