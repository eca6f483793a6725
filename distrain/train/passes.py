"""What the passes of a sharded model must have in common: its blocks, in one order on all workers.

A block is put together in an exchange between all workers, which takes whatever the others send at
that moment. Two workers that run blocks of one size in different orders get each other's: a model
that drew the order of two like blocks at random trained to wrong numbers without a word, and one
that drew which of them to run hung in its first backward pass (torch 2.13.0). So:

before the launch   a few training passes with other random numbers: what chance decides is refused
in each step        the order of all passes since the last one, as words in an exchange that there
                    is anyway, before the update: what the rows decide is refused here

The second comes too late where the rows choose which blocks run, or the order of blocks of
different sizes: the workers wait for each other in the pass, until the collectives' timeout.

A pass that counts nothing must add nothing to the sums of gradients. A loss of zero does not see to
that: where the rows or the network make an infinity, a gradient of zero times it is not a number.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, final

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from distrain.errors import ModelError
from distrain.models.check import in_training_mode

NUM_TRIALS: Final = 16
# Small enough that the squares' sum over 8,192 workers is exact in float64.
WORD_BITS: Final = 20
NUM_WORDS: Final = 2
_EXPECTED: Final = (
    "the same blocks in the same order in every pass: with train.strategy = fsdp all workers put "
    "a block together at once"
)
_MEND: Final = (
    "Run every block in every pass, and multiply by 0 what is not to count; or use train.strategy: "
    "ddp"
)


@final
class Passes:
    """Follows the passes of a sharded model through its blocks.

    Args:
        module: the model, sharded already: a hook must come after that which puts a block together.
        blocks: its blocks that are put together on their own.
        name: the model's class before it was sharded.
    """

    def __init__(self, module: nn.Module, blocks: Sequence[nn.Module], name: str) -> None:
        self._name = f"model {name}"
        self._order = hashlib.blake2b()
        self._is_counted = True
        self._handles: list[RemovableHandle] = []
        for number, block in enumerate((module, *blocks)):
            block.register_forward_pre_hook(partial(self._enter, number))

    @contextlib.contextmanager
    def uncounted(self) -> Iterator[None]:
        """Let forward and backward passes in here add zeros to the gradients, whatever comes."""
        self._is_counted = False
        try:
            yield
        finally:
            self._is_counted = True
            for handle in self._handles:
                handle.remove()
            self._handles.clear()

    def words(self, device: torch.device) -> torch.Tensor:
        """Return what to sum over the workers for `check_alike`, and begin a new order.

        Returns:
            Words and their squares, float64, `(2 * NUM_WORDS,)`.
        """
        number = int.from_bytes(self._order.digest()[:8], "little")
        self._order = hashlib.blake2b()
        words = [number >> i * WORD_BITS & (1 << WORD_BITS) - 1 for i in range(NUM_WORDS)]
        squares = [word * word for word in words]
        return torch.tensor([*words, *squares], dtype=torch.float64, device=device)

    def check_alike(self, sums: Sequence[float], num_workers: int) -> None:
        """Refuse a model whose passes took another order on another worker.

        Args:
            sums: of what `words` gave, over the workers.
            num_workers: how many.

        Raises:
            ModelError: they did; on every worker alike.
        """
        # Only of equal words is the square of the sum as many times the sum of the squares.
        for total, squares in zip(sums[:NUM_WORDS], sums[NUM_WORDS:], strict=True):
            if int(total) ** 2 != num_workers * int(squares):
                raise ModelError(
                    "the model's passes went through its blocks in another order, or through "
                    "others, on one worker than on another",
                    where=self._name,
                    expected=_EXPECTED,
                    mend=_MEND,
                )

    def _enter(self, number: int, block: nn.Module, _args: object) -> None:
        self._order.update(number.to_bytes(4, "little"))
        if self._is_counted:
            return
        for parameter in block.parameters():
            # Blocks within this one are not put together yet: their turn comes.
            if parameter.requires_grad and not hasattr(parameter, "full_tensor"):
                self._handles.append(parameter.register_hook(torch.zeros_like))  # type: ignore[no-untyped-call]


def check_order(module: nn.Module, blocks: Mapping[str, nn.Module], x: torch.Tensor) -> None:
    """Refuse a model of which chance decides the blocks that a training pass runs, or their order.

    Args:
        module: the model, whole; it is left as it was.
        blocks: those that are to be put together on their own, by name.
        x: rows as the model is fed them, with which it is known to run.

    Raises:
        ModelError: two of a few passes differ.
    """
    orders: list[list[str]] = []
    handles = [
        block.register_forward_pre_hook(partial(_note, orders, name))
        for name, block in blocks.items()
    ]
    try:
        with in_training_mode(module), torch.random.fork_rng(devices=[]), torch.no_grad():
            for seed in range(NUM_TRIALS if blocks else 0):
                torch.manual_seed(seed)
                orders.append([])
                module(x)
    finally:
        for handle in handles:
            handle.remove()
    for order in orders[1:]:
        if order != orders[0]:
            raise ModelError(
                "chance decides which blocks a training pass runs, or in which order: one ran "
                f"{_shown(orders[0])}; another {_shown(order)}",
                where=f"model {type(module).__name__}",
                expected=_EXPECTED,
                mend=_MEND,
            )


@final
class Translated:
    """The forward of a sharded model, with torch's words for a common fault in our own."""

    def __init__(self, module: nn.Module) -> None:
        self._name = f"model {type(module).__name__}"
        self._forward: Callable[..., Any] = module.forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the forward.

        Raises:
            ModelError: it takes a parameter of a block that is not put together at that moment.
        """
        try:
            return self._forward(*args, **kwargs)
        except RuntimeError as fault:
            if "mixed torch.Tensor and DTensor" not in str(fault):
                raise
            raise ModelError(
                "a parameter of a block is used outside of the block's own forward, where each "
                f"worker holds but a share of it under train.strategy = fsdp ({fault})",
                where=self._name,
                expected="a forward that uses a block's parameters by calling the block",
                mend="Move what uses them into the block's forward; or use train.strategy: ddp",
            ) from fault


def _note(orders: list[list[str]], name: str, _block: nn.Module, _args: object) -> None:
    orders[-1].append(name)


def _shown(order: Sequence[str]) -> str:
    return (", ".join(order[:8]) + (", ..." if len(order) > 8 else "")) or "none"
