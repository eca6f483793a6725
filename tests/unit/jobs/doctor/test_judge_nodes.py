"""What planted facts of nodes are judged to be."""

from dataclasses import replace
from typing import Any

import pytest

from distrain.jobs.doctor import judge_nodes as judge
from distrain.jobs.doctor.facts import Disk, NodeFacts, TorchGpus

GIB = 2**30
VERSIONS = {"python": "3.12.3", "ray": "2.60.0", "torch": "2.13.0+cpu", "distrain": "0.1.0"}
ROOMY = Disk("/disk", 100 * GIB, 50 * GIB, 10**6)
FIT = NodeFacts(
    host="node-1 (10.0.0.2)",
    versions={**VERSIONS, "mlflow": "3.17.2"},
    code="c0de",
    torch_build="cpu",
    disks={"storage": ROOMY, "temporary": ROOMY},
    memory_bytes=16 * GIB,
    free_memory_bytes=8 * GIB,
    shared_bytes=8 * GIB,
    store_bytes=4 * GIB,
    store_free_bytes=4 * GIB,
    clock_offset_s=0.01,
    clock_error_s=0.002,
)
HERE = replace(FIT, host="this machine", clock_offset_s=None)


def node(**planted: Any) -> NodeFacts:
    return replace(FIT, host="node-2 (10.0.0.3)", **planted)


def gpu_node(host: str, **planted: Any) -> NodeFacts:
    gpus = TorchGpus(2, ("NVIDIA H200", "NVIDIA H200"), "2.27.3")
    fields = {"num_devices": 2, "declared_gpus": 2.0, "torch_build": "CUDA 12.8"}
    return replace(FIT, host=host, **{**fields, "torch_gpus": gpus, **planted})


def disks(what: str, disk: Disk) -> dict[str, Disk]:
    return {"storage": ROOMY, "temporary": ROOMY, what: disk}


def test_all_is_well_on_fit_nodes() -> None:
    nodes = [FIT, node()]

    found = [
        *judge.judge_versions(HERE, nodes),
        *judge.judge_torch(HERE, nodes),
        *judge.judge_clocks(nodes),
        *judge.judge_disks(nodes),
        *judge.judge_memory(nodes),
        *judge.judge_stores(nodes),
        *judge.judge_gpus(nodes),
    ]

    assert [finding.level for finding in found] == ["ok"] * 7
    assert [finding.mend for finding in found] == [""] * 7
    assert "torch 2.13.0+cpu" in found[0].text
    assert found[0].text.endswith("alike on 2 nodes")


@pytest.mark.parametrize(
    ("library", "version", "level", "mend"),
    [
        ("ray", "2.59.1", "fault", "pip install ray==2.60.0"),
        ("torch", "2.12.0+cpu", "fault", "pip install torch==2.13.0"),
        ("distrain", None, "fault", "pip install distrain==0.1.0"),
        ("python", "3.11.9", "fault", "one Python everywhere"),
        ("mlflow", "3.16.0", "warning", "pip install mlflow==3.17.2"),
    ],
)
def test_another_version_on_a_node_is_named_with_what_to_install(
    library: str, version: str | None, level: str, mend: str
) -> None:
    other = node(versions={**FIT.versions, library: version}, code=None)

    [found] = judge.judge_versions(HERE, [FIT, other])

    assert (found.level, found.where) == (level, "node-2 (10.0.0.3)")
    assert (version or f"no {library}") in found.text
    assert mend in found.mend


def test_other_code_of_the_same_version_is_a_fault() -> None:
    [found] = judge.judge_versions(HERE, [FIT, node(code="0ther")])

    assert (found.level, found.where) == ("fault", "node-2 (10.0.0.3)")
    assert "other code" in found.text


def test_torch_for_cpus_on_a_machine_with_gpus_is_a_fault() -> None:
    fit, wrong = gpu_node("node-1"), gpu_node("node-2", torch_build="cpu", torch_gpus=None)

    [found] = judge.judge_torch(HERE, [fit, wrong])

    assert (found.level, found.where) == ("fault", "node-2")
    assert found.text == "torch was built for CPUs, on a machine with 2 GPUs"
    assert "https://pytorch.org/get-started/locally" in found.mend
    assert [finding.level for finding in judge.judge_gpus([fit, wrong])] == ["ok"]


def test_two_builds_of_torch_are_a_warning() -> None:
    [found] = judge.judge_torch(HERE, [gpu_node("a"), gpu_node("b", torch_build="CUDA 12.6")])

    assert found.level == "warning"
    assert found.text == "torch is built for CUDA 12.8 on a; CUDA 12.6 on b"


@pytest.mark.parametrize(
    ("offset_s", "level"),
    [(0.5, "ok"), (-2.9, "ok"), (4.0, "warning"), (-299.0, "warning"), (301.0, "fault")],
)
def test_a_clock_is_judged_by_how_far_it_is_off(offset_s: float, level: str) -> None:
    [found] = judge.judge_clocks([FIT, node(clock_offset_s=offset_s)])

    assert found.level == level


def test_a_clock_off_by_five_minutes_is_named_with_its_direction() -> None:
    [found] = judge.judge_clocks([FIT, node(clock_offset_s=-305.0)])

    assert (found.level, found.where) == ("fault", "node-2 (10.0.0.3)")
    assert found.text == "its clock is 305 s behind of this one's"
    assert "timedatectl set-ntp true" in found.mend


def test_the_way_of_an_answer_is_not_held_against_a_clock() -> None:
    [found] = judge.judge_clocks([node(clock_offset_s=4.0, clock_error_s=3.0)])

    assert found.level == "ok"


@pytest.mark.parametrize(
    ("what", "disk", "level"),
    [
        ("storage", Disk("/full", 100 * GIB, 10 * 2**20, 10**6), "fault"),
        ("storage", Disk("/full", 100 * GIB, 4 * GIB, 10**6), "warning"),
        ("storage", Disk("/full", 100 * GIB, 50 * GIB, 3), "fault"),
        ("temporary", Disk("/full", 100 * GIB, 4 * GIB, None), "fault"),
        ("temporary", Disk("/full", 100 * GIB, 9 * GIB, None), "warning"),
    ],
)
def test_a_full_disk_is_named_with_its_node(what: str, disk: Disk, level: str) -> None:
    [found] = judge.judge_disks([FIT, node(disks=disks(what, disk))])

    assert (found.level, found.where) == (level, "node-2 (10.0.0.3)")
    assert "/full" in found.text
    assert "Make room there" in found.mend


@pytest.mark.parametrize(("free", "level"), [(0.04, "fault"), (0.08, "warning"), (0.2, "ok")])
def test_a_node_without_memory_is_found(free: float, level: str) -> None:
    [found] = judge.judge_memory([FIT, node(free_memory_bytes=int(free * 16 * GIB))])

    assert found.level == level


@pytest.mark.parametrize(
    ("planted", "level", "text"),
    [
        ({"store_error": "out of disk"}, "fault", "it does not work (out of disk)"),
        ({"store_free_bytes": GIB / 10}, "warning", "0.1 GiB of 4.0 GiB free"),
        ({"shared_bytes": 64 * 2**20}, "warning", "it is 4.0 GiB, and /dev/shm 64 MiB"),
    ],
)
def test_an_unwell_object_store_is_found(planted: dict[str, Any], level: str, text: str) -> None:
    [found] = judge.judge_stores([FIT, node(**planted)])

    assert (found.level, found.text) == (level, text)
    assert found.mend


@pytest.mark.parametrize(
    ("planted", "level", "text"),
    [
        ({"torch_gpus": TorchGpus(error="no driver")}, "fault", "no driver"),
        ({"torch_gpus": TorchGpus(1, ("H200",), "2.27.3")}, "fault", "1 of 2 GPUs"),
        ({"declared_gpus": 0.0}, "warning", "2 GPUs that Ray was not told of"),
        ({"torch_gpus": TorchGpus(2, ("H200",))}, "fault", "no NCCL"),
    ],
)
def test_gpus_that_cannot_be_used_are_found(planted: dict[str, Any], level: str, text: str) -> None:
    [found] = judge.judge_gpus([gpu_node("node-1"), gpu_node("node-2", **planted)])

    assert (found.level, found.where) == (level, "node-2")
    assert text in found.text
    assert found.mend


def test_two_versions_of_nccl_are_a_fault() -> None:
    other = gpu_node("node-2", torch_gpus=TorchGpus(2, ("H200",), "2.21.5"))

    [found] = judge.judge_nccl([gpu_node("node-1"), other])

    assert (found.level, found.text) == ("fault", "2.21.5 on node-2; 2.27.3 on node-1")
