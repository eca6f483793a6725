"""The arithmetic of training: float32, or half of its width where torch holds that to be safe.

Under `bf16` and `fp16` the model runs in `torch.autocast`; its outputs go back to float32 before
the loss, and parameters, gradients, sums over parts, buffers and the optimizer stay in float32. So
the sums have the same bits on any number of workers, as they have under `fp32`.

Evaluation and prediction are always in float32: what is measured and registered does not depend on
the machine that will predict, and the packaged model agrees with evaluation to the last digit.

fp16's small gradients vanish below 6e-8, so the loss is multiplied by a scale before the backward
pass. The scale is a power of two, which takes nothing from the digits when it is divided off.
"""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, final

import torch

Precision = Literal["fp32", "bf16", "fp16"]

FIRST_SCALE: Final = 2.0**16
GREATEST_SCALE: Final = 2.0**32
LEAST_SCALE: Final = 2.0**-10
GROWTH_STEPS: Final = 2000

_DTYPES: Final[Mapping[str, torch.dtype]] = {"bf16": torch.bfloat16, "fp16": torch.float16}


def arithmetic(
    precision: Precision, device: torch.device
) -> contextlib.AbstractContextManager[Any]:
    """Return the context that a model's training forward runs in."""
    if precision == "fp32":
        return contextlib.nullcontext()
    context: contextlib.AbstractContextManager[Any] = torch.autocast(
        device.type, dtype=_DTYPES[precision]
    )
    return context


@final
@dataclass
class LossScale:
    """What fp16's losses are multiplied by: halved by an overflow, doubled after a while without.

    It is the same on every worker, because they judge the same summed gradient. Rule and numbers
    are those of `torch.amp.GradScaler`.

    Args:
        scale: of a step's mean loss.
        num_good_steps: steps since it last changed.
    """

    scale: float = FIRST_SCALE
    num_good_steps: int = 0

    def factor(self, num_rows: int) -> float:
        """Return what to multiply the sum of a step's losses by, a power of two.

        Args:
            num_rows: rows of the step over all workers; a sum grows with them.
        """
        return self.scale * 2.0 ** -math.ceil(math.log2(num_rows))

    @property
    def is_exhausted(self) -> bool:
        """Return whether an overflow can no longer be blamed on the scale."""
        return self.scale <= LEAST_SCALE

    def observe(self, *, has_overflown: bool) -> None:
        """Take in a step."""
        self.num_good_steps = 0 if has_overflown else self.num_good_steps + 1
        if has_overflown:
            self.scale = max(LEAST_SCALE, self.scale / 2)
        elif self.num_good_steps >= GROWTH_STEPS:
            self.scale, self.num_good_steps = min(GREATEST_SCALE, self.scale * 2), 0
