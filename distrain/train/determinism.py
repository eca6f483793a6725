"""What has to be fixed in a process for the same bits, put back afterwards.

On a GPU, attention is computed step by step and not by the fused kernels (flash, memory-efficient,
cuDNN): their backward passes add in any order unless torch is told to refuse every kernel that has
no deterministic form, and with it many models that need one (torch 2.13 reads `warn_only` there).
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any, Final

import torch

_CUDA: Any = torch.backends.cuda
_FUSED_ATTENTION: Final = (
    (_CUDA.flash_sdp_enabled, _CUDA.enable_flash_sdp),
    (_CUDA.mem_efficient_sdp_enabled, _CUDA.enable_mem_efficient_sdp),
    (_CUDA.cudnn_sdp_enabled, _CUDA.enable_cudnn_sdp),
)


@contextlib.contextmanager
def reproducible(threads: int, device: torch.device) -> Iterator[None]:
    """Fix the number of threads and the choice of kernels for the calling thread's work.

    Args:
        threads: threads inside an operation; 1 and 2 give different bits.
        device: where the work will be.
    """
    if device.type == "cuda":
        # Read when the first CUDA context is made; without it cuBLAS may choose by free memory.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.cuda.set_device(device)
    before = torch.get_num_threads()
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    was_warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    # torch types this module as having no attributes.
    memory: Any = torch.utils.deterministic
    was_filling = memory.fill_uninitialized_memory
    cudnn = (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic)
    attention = [is_enabled() for is_enabled, _ in _FUSED_ATTENTION]
    state = torch.get_rng_state()
    torch.set_num_threads(threads)
    # A kernel without a deterministic form is named in a warning, and used.
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    if device.type == "cuda":  # on the CPU they are deterministic
        for _, enable in _FUSED_ATTENTION:
            enable(False)
    try:
        yield
    finally:
        for (_, enable), was_enabled in zip(_FUSED_ATTENTION, attention, strict=True):
            enable(was_enabled)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = cudnn
        memory.fill_uninitialized_memory = was_filling
        torch.use_deterministic_algorithms(was_deterministic, warn_only=was_warn_only)
        torch.set_num_threads(before)
        torch.set_rng_state(state)
