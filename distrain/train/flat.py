"""`strategy: ddp`: all of a model on every worker, its trained parameters in one vector.

Sums and updates are one operation each.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

import torch
from torch import nn

from distrain.data.loader import StepBatch
from distrain.models.feeding import Network
from distrain.models.weights import weights_sha256
from distrain.train.buffers import MovingBuffers
from distrain.train.strategy import Nothing

# Each parameter begins at a multiple of 256 bytes: kernels see the alignment that they would see
# in memory of its own, as in the packaged model.
ALIGNMENT: Final = 64


@final
class FlatModel:
    """A module on its device, with its trained parameters as views of one vector.

    Args:
        module: the network; its trained parameters are moved into the vector.
        probe: rows as the network is fed them, to find out which buffers move in training.
        network: what runs the module with such rows; None: the module itself.
        factor: of a parameter's name, its learning rate over the run's.

    Attributes:
        factors: of the learning rate of each of the optimizer's groups: of all, or, where they
            differ, of each of `parameters`.
    """

    is_sharded = False

    def __init__(
        self,
        module: nn.Module,
        probe: Any,
        network: Network | None = None,
        factor: Callable[[str], float] = lambda _name: 1.0,
    ) -> None:
        self.module = module
        self._factor = factor
        trained = [(factor(name), p) for name, p in module.named_parameters() if p.requires_grad]
        self.factors = list(dict.fromkeys(one for one, _ in trained))
        groups = [[p for one, p in trained if one == own] for own in self.factors]
        self.trained = [p for group in groups for p in group]
        self.num_parameters = sum(p.numel() for p in module.parameters())
        self.vector = nn.Parameter(_joined(self.trained))
        self._lengths = [sum(map(_room, group)) for group in groups]
        self.parameters = [self.vector]
        self.prefixes: Sequence[str] = ("",)
        if len(groups) > 1:
            self.parameters = [
                nn.Parameter(p) for p in torch.split(self.vector.data, self._lengths)
            ]
            self.prefixes = tuple(f"group-{index}." for index in range(len(groups)))
        for parameter, view in zip(self.trained, self.cut(self.vector.data), strict=True):
            parameter.data = view
        self.buffers = MovingBuffers(module, probe, network or module)

    def separate(self) -> None:
        """Let the optimizer be over each parameter, and not over all of them as one vector.

        A rule of the user's own may look at a parameter as a whole, as LAMB and Muon do.
        """
        names = {id(one): name for name, one in self.module.named_parameters()}
        own = [names[id(parameter)] for parameter in self.trained]
        if len(self.factors) > 1:
            self.factors = list(map(self._factor, own))
        self.parameters = self.trained
        self.prefixes = tuple(f"{name}." for name in own)

    def cut(self, vector: torch.Tensor) -> list[torch.Tensor]:
        """Return the views of a vector that correspond to the trained parameters.

        Args:
            vector: at least as long as the parameters' own.
        """
        views, offset = [], 0
        for parameter in self.trained:
            views.append(vector[offset : offset + parameter.numel()].view(parameter.shape))
            offset += _room(parameter)
        return views

    def cut_alike(self, vector: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the views of a vector that correspond to what the optimizer is over.

        Args:
            vector: as long as the parameters' own.
        """
        if self.parameters is self.trained:
            return self.cut(vector)
        return torch.split(vector, self._lengths)

    def snapshot(self) -> dict[str, torch.Tensor]:
        """Return a copy of all that training changes in the model, on its device."""
        return {**self.tensors(), "parameters": self.vector.detach().clone()}

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return what `snapshot` does, but the parameters themselves."""
        buffers = {f"buffer.{name}": value for name, value in self.buffers.snapshot().items()}
        return {"parameters": self.vector.detach(), **buffers}

    def load(self, snapshot: Mapping[str, torch.Tensor]) -> None:
        """Go back to a snapshot."""
        self.vector.data.copy_(snapshot["parameters"])
        self.buffers.load(
            {
                name.removeprefix("buffer."): value
                for name, value in snapshot.items()
                if name.startswith("buffer.")
            }
        )

    def is_finite(self) -> bool:
        """Return whether all trained parameters are finite; on every worker alike."""
        vector = self.vector.detach()
        # A finite sum has finite terms, and takes a sixtieth of the time of looking at each.
        return math.isfinite(vector.sum()) or bool(torch.isfinite(vector).all())

    def final_weights(self) -> tuple[dict[str, torch.Tensor], str]:
        """Return the module's state dict, each entry in memory of its own, and its fingerprint."""
        weights = {
            name: tensor.detach().to("cpu", copy=True).contiguous()
            for name, tensor in self.module.state_dict().items()
        }
        return weights, weights_sha256(weights)


@final
class FlatGradients:
    """The gradients of a step in the vector that is summed over parts and workers.

    Args:
        model: the model.
        optimizer: over its vector.
        clip_norm: greatest L2 norm of the gradient, or None.
    """

    def __init__(
        self, model: FlatModel, optimizer: torch.optim.Optimizer, clip_norm: float | None
    ) -> None:
        self.length = model.vector.numel()
        self._model = model
        self._optimizer = optimizer
        self.clip_norm = clip_norm
        self._gradient = torch.zeros_like(model.vector.data)
        for parameter, view in zip(model.parameters, model.cut_alike(self._gradient), strict=True):
            parameter.grad = view
        self._views: dict[int, list[torch.Tensor]] = {}

    def start(self, batch: StepBatch, nothing: Nothing) -> None:
        """Do nothing: the first part overwrites what the step before it has left."""

    def put(self, loss_sum: torch.Tensor, out: torch.Tensor, add: bool) -> None:
        """Write a part's gradients to the vector, or add them to it."""
        views, gradients = self._views_of(out), self._gradients(loss_sum)
        if add:
            torch._foreach_add_(views, gradients)
        else:
            torch._foreach_copy_(views, gradients)

    def checksum(self, total: torch.Tensor) -> torch.Tensor:
        """Return the sum of the gradient, which is finite only where all its terms are."""
        return total[: self.length].sum().view(1)

    def is_finite(self, total: torch.Tensor) -> bool:
        """Return whether every element of the gradient is finite."""
        return bool(torch.isfinite(total[: self.length]).all())

    def turns(self, batch: StepBatch) -> Sequence[int]:
        """Return this worker's own parts: nobody else is needed to look at them."""
        return [part.index for part in batch.parts]

    def is_finite_alone(self, loss_sum: torch.Tensor) -> bool:
        """Return whether the gradient of one part is finite."""
        return all(bool(torch.isfinite(one).all()) for one in self._gradients(loss_sum))

    def look_on(self) -> None:
        """Do nothing: a worker looks at its own parts alone."""

    def update(self, total: torch.Tensor, divisor: float, lr: float) -> None:
        """Divide the sum of gradients, clip it and update the model once."""
        gradient = torch.div(total[: self.length], divisor, out=self._gradient)
        if self.clip_norm is not None:
            norm = torch.linalg.vector_norm(gradient)
            gradient.mul_((self.clip_norm / (norm + 1e-6)).clamp_(max=1.0))
        for group, factor in zip(self._optimizer.param_groups, self._model.factors, strict=True):
            group["lr"] = lr if factor == 1.0 else lr * factor
        self._optimizer.step()

    def _gradients(self, loss_sum: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(
            loss_sum, self._model.trained, allow_unused=True, materialize_grads=True
        )

    def _views_of(self, out: torch.Tensor) -> list[torch.Tensor]:
        # The sum uses a few vectors over and over; cutting them up again would cost more than
        # filling them.
        views = self._views.get(out.data_ptr())
        if views is None:
            views = self._views[out.data_ptr()] = self._model.cut(out)
        return views


def _room(parameter: torch.Tensor) -> int:
    return -(-parameter.numel() // ALIGNMENT) * ALIGNMENT


def _joined(parameters: Sequence[torch.Tensor]) -> torch.Tensor:
    size = sum(_room(parameter) for parameter in parameters)
    vector = torch.zeros(size, device=parameters[0].device)
    offset = 0
    for parameter in parameters:
        vector[offset : offset + parameter.numel()] = parameter.detach().flatten()
        offset += _room(parameter)
    return vector
