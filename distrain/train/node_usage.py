"""How busy a machine is as a whole, in the words of MLflow's own system metrics.

Both libraries are the copies that Ray brings and uses itself (Ray 2.60.0). `import ray` puts its
psutil before any other on the path, so that one of our own would never be loaded. Its binding of
NVIDIA's NVML needs a driver alone, and sees every GPU of the machine, also those that
`CUDA_VISIBLE_DEVICES` hides from this process. A look takes 0.2 ms of CPU time on a machine without
GPUs (2026-11-21).
"""

import importlib
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, final

MEGABYTE: Final = 1e6


@final
class NodeUsage:
    """Measures the machine that it is made on.

    Make and use it in one thread: psutil keeps the CPU's times at the last look for each thread.
    """

    def __init__(self) -> None:
        importlib.import_module("ray")
        self._psutil: Any = importlib.import_module("psutil")
        self._nvml: Any = importlib.import_module("ray._private.thirdparty.pynvml")
        self._gpus = _gpus(self._nvml)
        self._psutil.cpu_percent()
        self._first_sent, self._first_received = self._traffic()

    def look(self) -> dict[str, float]:
        """Return the machine's use by MLflow's names.

        CPU: mean since the last look, or since this was made; network: sum since this was made;
        all else: now. Shares are percentages from 0 to 100, of all cores, of all memory, of the
        disk that `/` is on, and of each GPU's power limit. What a GPU does not tell is left out.
        """
        memory, disk = self._psutil.virtual_memory(), self._psutil.disk_usage(os.sep)
        sent, received = self._traffic()
        rounded = {
            "cpu_utilization_percentage": self._psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / MEGABYTE,
            "system_memory_usage_percentage": memory.used / memory.total * 100,
            "disk_usage_percentage": disk.percent,
            "disk_usage_megabytes": disk.used / MEGABYTE,
            "disk_available_megabytes": disk.free / MEGABYTE,
            **self._gpu_values(),
        }
        return {name: round(float(value), 1) for name, value in rounded.items()} | {
            "network_receive_megabytes": received - self._first_received,
            "network_transmit_megabytes": sent - self._first_sent,
        }

    def _traffic(self) -> tuple[float, float]:
        """Return the megabytes sent and received since the machine started."""
        counters = self._psutil.net_io_counters()
        if counters is None:  # a machine without a network
            return 0.0, 0.0
        return counters.bytes_sent / MEGABYTE, counters.bytes_recv / MEGABYTE

    def _gpu_values(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for number, gpu in self._gpus.items():
            for measure in _GPU_MEASURES:
                with suppress(self._nvml.NVMLError):  # not every GPU tells everything
                    found = measure(self._nvml, gpu)
                    values |= {f"gpu_{number}_{name}": value for name, value in found.items()}
        return values


def gpu_names() -> list[str]:
    """Return the names of this machine's GPUs, none where there is no driver."""
    importlib.import_module("ray")
    nvml: Any = importlib.import_module("ray._private.thirdparty.pynvml")
    names = [nvml.nvmlDeviceGetName(gpu) for gpu in _gpus(nvml).values()]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _gpus(nvml: Any) -> dict[int, Any]:
    """Return NVML's handles of the machine's GPUs by number, none where there is no driver."""
    gpus: dict[int, Any] = {}
    with suppress(nvml.NVMLError):
        nvml.nvmlInit()
        for number in range(nvml.nvmlDeviceGetCount()):
            with suppress(nvml.NVMLError):  # it fell off the bus; the others are there
                gpus[number] = nvml.nvmlDeviceGetHandleByIndex(number)
    return gpus


def _gpu_memory(nvml: Any, gpu: Any) -> dict[str, float]:
    memory = nvml.nvmlDeviceGetMemoryInfo(gpu)
    share = {"memory_usage_percentage": memory.used / memory.total * 100} if memory.total else {}
    return {"memory_usage_megabytes": memory.used / MEGABYTE, **share}


def _gpu_utilization(nvml: Any, gpu: Any) -> dict[str, float]:
    return {"utilization_percentage": nvml.nvmlDeviceGetUtilizationRates(gpu).gpu}


def _gpu_power(nvml: Any, gpu: Any) -> dict[str, float]:
    used_mw = nvml.nvmlDeviceGetPowerUsage(gpu)
    limit_mw = nvml.nvmlDeviceGetEnforcedPowerLimit(gpu)
    share = {"power_usage_percentage": used_mw / limit_mw * 100} if limit_mw else {}
    return {"power_usage_watts": used_mw / 1000, **share}


_GPU_MEASURES: Final[tuple[Callable[[Any, Any], dict[str, float]], ...]] = (
    _gpu_memory,
    _gpu_utilization,
    _gpu_power,
)
