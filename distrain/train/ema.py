"""An exponential moving average of the weights, which is evaluated and kept in their stead.

    average <- decay x average + (1 - decay) x weights      after every update

The decay rises from 0.1 to what was asked for, as (1 + n) / (10 + n) after n updates, so that the
average forgets where training began however short the run is. Moving buffers, such as batch norm's
running values, are averaged too; counters are copied. A step without an update leaves the average
as it is.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, final

import torch

from distrain.train.strategy import TrainedModel

_COUNT: Final = "num_updates"


@final
class WeightAverage:
    """Follows the weights of a model.

    Args:
        model: what is averaged, with its initial weights.
        decay: in (0, 1): about 1 / (1 - decay) updates are averaged over.
    """

    def __init__(self, model: TrainedModel, decay: float) -> None:
        self._model = model
        self._decay = decay
        self._average = model.snapshot()
        self._num_updates = 0

    def update(self) -> None:
        """Take in the model's weights after an update."""
        decay = min(self._decay, (1 + self._num_updates) / (10 + self._num_updates))
        self._num_updates += 1
        for name, value in self._model.tensors().items():
            if value.is_floating_point():
                self._average[name].lerp_(value, 1 - decay)
            else:
                self._average[name].copy_(value)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the model the averaged weights until the block ends."""
        weights = self._model.snapshot()
        self.put_into_model()
        try:
            yield
        finally:
            self._model.load(weights)

    def put_into_model(self) -> None:
        """Give the model the averaged weights for good."""
        self._model.load(self._average)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return what `load` takes; not copied."""
        return {**self._average, _COUNT: torch.tensor(self._num_updates)}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go back to what `tensors` gave."""
        self._num_updates = int(tensors[_COUNT])
        for name, value in self._average.items():
            value.copy_(tensors[name])
