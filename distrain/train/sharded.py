"""`strategy: fsdp`: every worker holds a share of every parameter, gradient and optimizer state.

torch's `fully_shard` cuts each parameter along its first dimension. A block of the model is put
together from all workers when its forward or backward pass comes, and taken apart again behind it;
its gradients are summed over the workers, and each keeps its share of the sum.

    parts of the step      0      1      2          3 parts, 2 workers
    worker 0              pass   pass
    worker 1              pass  nothing             every worker runs as many passes as the first

A pass is a chain of exchanges between all workers, so all must run equally many, through the same
modules in the same order: who owns fewer parts first runs some on a few rows that count nothing.
A model whose forward chooses blocks by chance or by what is in the rows does not fit that; how it
is found, and where it would hang, is told in `passes.py`.

Parts, their random numbers, buffers, losses and wishes are as with `ddp`; what differs is the order
in which gradients are added. Gradients are summed after every part. Torch can leave that to the
last one (`set_requires_gradient_sync`), which saves a third of the bytes exchanged for each of the
other parts, and costs every worker the memory of a whole gradient: what sharding is there to save.
To exchange less, use fewer logical shards, or `reduction: fast`, which makes a worker's parts one.

bf16 and fp16 are autocast's, as with `ddp`, and not torch's `MixedPrecisionPolicy`: that one would
give batch norm and softmax half of their digits too. It costs memory: what autocast has cast is
kept from the forward to the backward pass, two bytes for each parameter of the whole model, but
where `activation_checkpointing` runs the block again.

A worker that is alone shards nothing, and needs no process group.

The update is made on plain views of a worker's shares: torch's fused optimizers on the DTensors
themselves would take a way through its dispatcher for each one. A view stays true as long as nobody
moves the module (`Module.to`), after which `fully_shard` pads anew.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, final

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from distrain.data.loader import StepBatch
from distrain.errors import ModelError
from distrain.models.recompute import blocks
from distrain.models.weights import weights_sha256
from distrain.train.buffers import MovingBuffers
from distrain.train.collective import bytes_from_rank_zero
from distrain.train.passes import Passes, Translated
from distrain.train.shares import SHARE
from distrain.train.strategy import Nothing
from distrain.train.world import World

# A smaller block is put together with what is outside of blocks: an exchange has its price.
LEAST_BLOCK_ELEMENTS: Final = 1 << 12


@final
class ShardedModel:
    """A module of which each worker holds a share; all workers must make one alike.

    Args:
        module: the network, on the CPU; its parameters are cut up and moved to the device, block by
            block, so that the device never holds all of it.
        probe: rows as the network is fed them, to find out which buffers move in training.
        world: sizes and ranks.
    """

    is_sharded = True

    def __init__(self, module: nn.Module, probe: torch.Tensor, world: World) -> None:
        self.num_parameters = _num_elements(module)
        self.module = module
        self._world = world
        own_blocks = [block for _, block in named_blocks(module)]
        name = type(module).__name__
        module.forward = Translated(module)
        self._take_apart = _cut_up(module, own_blocks, world)
        self.passes = Passes(module, own_blocks, name)
        named = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.trained = list(named.values())
        self.parameters = [nn.Parameter(_own(parameter).detach()) for parameter in self.trained]
        self.prefixes: Sequence[str] = tuple(f"{SHARE}{name}." for name in named)
        self._shares = dict(zip((f"{SHARE}{n}" for n in named), self.parameters, strict=True))
        self.buffers = MovingBuffers(module, probe, module)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return this worker's shares, not copied, and copies of the buffers."""
        buffers = {f"buffer.{name}": value for name, value in self.buffers.snapshot().items()}
        return {**{name: share.detach() for name, share in self._shares.items()}, **buffers}

    def snapshot(self) -> dict[str, torch.Tensor]:
        """Return copies of what `tensors` gives."""
        return {name: value.clone() for name, value in self.tensors().items()}

    def load(self, snapshot: Mapping[str, torch.Tensor]) -> None:
        """Go back to a snapshot of this worker's."""
        # What is outside of blocks stays put together after a forward without a backward.
        self._take_apart()
        for name, share in self._shares.items():
            share.data.copy_(snapshot[name])
        self.buffers.load(
            {
                name.removeprefix("buffer."): value
                for name, value in snapshot.items()
                if name.startswith("buffer.")
            }
        )

    def is_finite(self) -> bool:
        """Return whether all trained parameters are finite; all workers must call."""
        return _is_finite_everywhere(self.parameters, self._world)

    def final_weights(self) -> tuple[dict[str, torch.Tensor], str]:
        """Return the whole state dict, on rank zero, and its fingerprint; all workers must call.

        Parameters are put together one after another; rank zero's memory must hold all of them.
        """
        weights: dict[str, torch.Tensor] = {}
        with torch.no_grad():
            for name, value in self.module.state_dict().items():
                whole = value if _is_plain(value) else value.full_tensor()
                if self._world.is_rank_zero:
                    weights[name] = whole.detach().to("cpu", copy=True).contiguous()
        digest = weights_sha256(weights).encode() if self._world.is_rank_zero else b""
        shared = bytes_from_rank_zero(np.frombuffer(bytearray(digest), np.uint8), self._world)
        return weights, shared.tobytes().decode()


@final
class ShardedGradients:
    """The gradients of a step, of which each worker holds the share that its update needs.

    Args:
        model: the model.
        optimizer: over its shares.
        clip_norm: greatest L2 norm of the whole gradient, or None.
        num_parts: rows of a step to its parts.
        most_parts: parts of the worker that owns the most.
        world: sizes and ranks.
    """

    length = 0

    def __init__(
        self,
        model: ShardedModel,
        optimizer: torch.optim.Optimizer,
        clip_norm: float | None,
        *,
        num_parts: Callable[[int], int],
        most_parts: int,
        world: World,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self.clip_norm = clip_norm
        self._num_parts = num_parts
        self._most_parts = most_parts
        self._world = world
        self._norm = 0.0
        self._nothing: Nothing | None = None

    def start(self, batch: StepBatch, nothing: Nothing) -> None:
        """Begin a sum, with the passes that this worker runs for the others' sake."""
        self._set_aside()
        self._nothing = nothing
        num_passes = min(self._most_parts, self._num_parts(batch.num_rows))
        # Before its own, after which it waits for the others' losses.
        for _ in range(num_passes - len(batch.parts)):
            self._run_nothing()

    def put(self, loss_sum: torch.Tensor, out: torch.Tensor, add: bool) -> None:  # noqa: ARG002 - gradients do not travel in the vector
        """Add a part's gradients to the sum over all workers; all must call."""
        torch.autograd.backward(loss_sum)

    def checksum(self, total: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - see `put`
        """Return the L2 norm of the gradient's sum; all workers must call.

        Raises:
            ModelError: their passes went through the model's blocks in different orders.
        """
        norms = torch._foreach_norm(self._own_gradients(), dtype=torch.float64)
        squares = torch.stack(list(norms)).square().sum().view(1)
        sums = torch.cat([squares, self._model.passes.words(squares.device)])
        _sum_over(sums, self._world)
        square, *words = sums.tolist()
        self._model.passes.check_alike(words, self._world.world_size)
        self._norm = math.sqrt(square)
        return sums[:1].sqrt().float()

    def is_finite(self, total: torch.Tensor) -> bool:  # noqa: ARG002 - see `put`
        """Return whether every element of the gradient is finite; all workers must call."""
        return _is_finite_everywhere(self._own_gradients(), self._world)

    def turns(self, batch: StepBatch) -> Sequence[int]:
        """Return all parts of the step: while a worker's is looked at, the others run nothing."""
        return range(self._num_parts(batch.num_rows))

    def is_finite_alone(self, loss_sum: torch.Tensor) -> bool:
        """Return whether the gradient of one part is finite; all workers must call."""
        kept = self._set_aside()
        torch.autograd.backward(loss_sum)
        is_finite = _is_finite_everywhere(self._own_gradients(), self._world)
        self._put_back(kept)
        return is_finite

    def look_on(self) -> None:
        """Run a pass that counts nothing, while another worker looks at a part of its own."""
        kept = self._set_aside()
        self._run_nothing()
        _is_finite_everywhere(self._own_gradients(), self._world)
        self._put_back(kept)

    def update(self, total: torch.Tensor, divisor: float, lr: float) -> None:  # noqa: ARG002 - see `put`
        """Divide the sum of gradients, clip it by its whole norm and update this worker's share."""
        gradients = self._own_gradients()
        factor = 1.0 / divisor
        if self.clip_norm is not None:
            factor *= min(1.0, self.clip_norm / (self._norm / divisor + 1e-6))
        torch._foreach_mul_(gradients, factor)
        for share, gradient in zip(self._model.parameters, gradients, strict=True):
            share.grad = gradient
        self._optimizer.param_groups[0]["lr"] = lr
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._set_aside()

    def _run_nothing(self) -> None:
        assert self._nothing is not None
        with self._model.passes.uncounted():
            torch.autograd.backward(self._nothing())

    def _own_gradients(self) -> list[torch.Tensor]:
        """Return this worker's share of the sum; a parameter that nobody used has one of zeros."""
        return [
            torch.zeros_like(share) if parameter.grad is None else _own(parameter.grad)
            for parameter, share in zip(
                self._model.trained, (p.detach() for p in self._model.parameters), strict=True
            )
        ]

    def _set_aside(self) -> list[torch.Tensor | None]:
        kept = [parameter.grad for parameter in self._model.trained]
        for parameter in self._model.trained:
            parameter.grad = None
        return kept

    def _put_back(self, kept: Sequence[torch.Tensor | None]) -> None:
        for parameter, gradient in zip(self._model.trained, kept, strict=True):
            parameter.grad = gradient


def check_can_be_cut(module: nn.Module) -> None:
    """Refuse a model that cannot be cut up.

    Raises:
        ModelError: a parameter has no dimension to be cut along, or does not lie in one piece.
    """
    for name, parameter in module.named_parameters():
        if parameter.dim() == 0 or not parameter.is_contiguous():
            fault = "is a single number" if parameter.dim() == 0 else "is not contiguous"
            raise ModelError(
                f"parameter {name} {fault}, and train.strategy = fsdp cuts parameters along their "
                "first dimension",
                where=f"model {type(module).__name__}",
                expected="contiguous parameters with at least one dimension",
                mend="Give it the shape (1,), or call contiguous(); or use train.strategy: ddp",
            )


def largest_block(module: nn.Module) -> int:
    """Return the elements of the largest part of a model that is put together at a time."""
    sizes = [_num_elements(block) for _, block in named_blocks(module)]
    return max([*sizes, _num_elements(module) - sum(sizes)])


def _cut_up(module: nn.Module, own_blocks: Sequence[nn.Module], world: World) -> Callable[[], None]:
    """Let each worker keep its share of each parameter, on its device.

    Returns:
        What takes apart again the parameters that are outside of blocks.
    """
    device = world.torch_device
    if world.world_size == 1:
        module.to(device)
        return lambda: None
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import fully_shard

    group = dist.group.WORLD
    assert group is not None
    mesh = DeviceMesh.from_group(group, device.type)
    for part in [*own_blocks, module]:
        sharded: Any = fully_shard(part, mesh=mesh)
        # A sum, which is divided once by the weight of all rows. gloo has no other reduction.
        sharded.set_force_sum_reduction_for_comms(True)
        sharded.set_gradient_divide_factor(1.0)
        if hasattr(sharded, "set_reduce_scatter_unused_params"):  # torch 2.13
            sharded.set_reduce_scatter_unused_params(True)
    take_apart: Callable[[], None] = sharded.reshard
    return take_apart


def named_blocks(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Give the blocks that are worth an exchange, and share no parameter with anything else."""
    names = {block: name for name, block in module.named_modules()}
    uses = Counter(p for _, p in module.named_parameters(remove_duplicate=False))
    for block in blocks(module):
        inside = Counter(p for _, p in block.named_parameters(remove_duplicate=False))
        is_apart = all(uses[parameter] == count for parameter, count in inside.items())
        if block is not module and is_apart and _num_elements(block) >= LEAST_BLOCK_ELEMENTS:
            yield names[block], block


def _num_elements(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _is_plain(tensor: torch.Tensor) -> bool:
    return not hasattr(tensor, "full_tensor")


def _own(tensor: torch.Tensor) -> torch.Tensor:
    """Return this worker's share of a tensor, in the same memory."""
    share: torch.Tensor = tensor if _is_plain(tensor) else tensor._local_tensor  # type: ignore[attr-defined]
    return share


def _is_finite_everywhere(shares: Sequence[torch.Tensor], world: World) -> bool:
    # A finite sum has finite terms.
    num_bad = sum(
        not math.isfinite(share.detach().sum()) and not bool(torch.isfinite(share).all())
        for share in shares
    )
    found = torch.tensor([float(num_bad)], device=world.torch_device)
    _sum_over(found, world)
    return float(found) == 0.0


def _sum_over(values: torch.Tensor, world: World) -> None:
    if world.world_size > 1:
        dist.all_reduce(values)
