"""What is measured of a machine: MLflow's own monitors say of the same machine the same."""

import importlib
import sys
from types import ModuleType, SimpleNamespace
from typing import Any, final

import pytest

from distrain.train.node_usage import NodeUsage

RAYS_NVML = "ray._private.thirdparty.pynvml"


class NVMLError(Exception):
    """What NVML raises."""


@final
class FakePsutil(ModuleType):
    """A machine whose CPUs are 37.55 % busy, and through which 5 MB flow with each question."""

    def __init__(self) -> None:
        super().__init__("psutil")
        self.num_asked = 0

    def cpu_percent(self) -> float:
        return 37.55

    def virtual_memory(self) -> Any:
        return SimpleNamespace(used=3_210_987_654, total=8_000_000_000)

    def disk_usage(self, path: str) -> Any:
        assert path == "/"
        return SimpleNamespace(percent=41.2, used=412_345_678_901, free=587_654_321_099)

    def net_io_counters(self) -> Any:
        self.num_asked += 1
        return SimpleNamespace(
            bytes_sent=2_000_000 * self.num_asked, bytes_recv=3_000_000 * self.num_asked
        )


def fake_nvml(*, has_driver: bool = True) -> ModuleType:
    """Return two GPUs, of which the second says nothing of its power; or no driver at all."""

    def init() -> None:
        if not has_driver:
            raise NVMLError("no driver")

    def power(gpu: int) -> int:
        if gpu == 1:
            raise NVMLError("not supported")
        return 345_678

    nvml = ModuleType("pynvml")
    nvml.__dict__.update(
        NVMLError=NVMLError,
        nvmlInit=init,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetMemoryInfo=lambda gpu: SimpleNamespace(
            used=(gpu + 1) * 12_345_678_901, total=80_000_000_000
        ),
        nvmlDeviceGetUtilizationRates=lambda gpu: SimpleNamespace(gpu=90 + gpu),
        nvmlDeviceGetPowerUsage=power,
        nvmlDeviceGetEnforcedPowerLimit=lambda _gpu: 700_000,
    )
    return nvml


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up machine in the place of this one."""
    fakes = {"psutil": FakePsutil(), "pynvml": fake_nvml(), RAYS_NVML: fake_nvml()}
    for name, fake in fakes.items():
        monkeypatch.setitem(sys.modules, name, fake)


def mlflows_look(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Return what MLflow's monitors say of the machine in `sys.modules`."""
    found: dict[str, float] = {}
    for kind, name in {"cpu": "CPU", "disk": "Disk", "network": "Network", "gpu": "GPU"}.items():
        home = f"mlflow.system_metrics.metrics.{kind}_monitor"
        monkeypatch.delitem(sys.modules, home, raising=False)
        monitor = getattr(importlib.import_module(home), f"{name}Monitor")()
        monitor.collect_metrics()
        found |= monitor.aggregate_metrics()
        monkeypatch.delitem(sys.modules, home)  # it would keep the made-up machine
    return found


@pytest.mark.usefixtures("machine")
def test_a_machine_is_measured_as_mlflow_measures_it(monkeypatch: pytest.MonkeyPatch) -> None:
    look = NodeUsage().look()

    assert look == mlflows_look(monkeypatch)
    assert look["system_memory_usage_percentage"] == 40.1
    assert look["network_receive_megabytes"] == 3.0
    assert look["gpu_0_power_usage_watts"] == 345.7
    assert look["gpu_1_utilization_percentage"] == 91.0
    assert "gpu_1_power_usage_watts" not in look


@pytest.mark.usefixtures("machine")
def test_a_gpu_that_is_lost_or_has_no_limit_hides_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def handle(index: int) -> int:
        if index == 0:
            raise NVMLError("GPU is lost")
        return index

    nvml = sys.modules[RAYS_NVML]
    monkeypatch.setattr(nvml, "nvmlDeviceGetHandleByIndex", handle)
    monkeypatch.setattr(nvml, "nvmlDeviceGetPowerUsage", lambda _gpu: 345_678)
    monkeypatch.setattr(nvml, "nvmlDeviceGetEnforcedPowerLimit", lambda _gpu: 0)

    look = NodeUsage().look()

    assert {name for name in look if name.startswith("gpu")} == {
        "gpu_1_memory_usage_percentage",
        "gpu_1_memory_usage_megabytes",
        "gpu_1_utilization_percentage",
        "gpu_1_power_usage_watts",
    }


@pytest.mark.usefixtures("machine")
def test_a_machine_without_gpus_or_a_network_tells_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, RAYS_NVML, fake_nvml(has_driver=False))
    monkeypatch.setattr(sys.modules["psutil"], "net_io_counters", lambda: None)

    look = NodeUsage().look()

    assert not any(name.startswith("gpu") for name in look)
    assert look["network_transmit_megabytes"] == 0.0
    assert look["cpu_utilization_percentage"] == 37.5


def test_this_machine_is_measured() -> None:
    look = NodeUsage().look()

    assert 0 < look["system_memory_usage_percentage"] < 100
    assert 0 <= look["cpu_utilization_percentage"] <= 100
    assert look["disk_available_megabytes"] >= 0
