"""What the facts of the nodes mean: versions, clocks, disks, memory, object stores, GPUs. Pure.

Each function takes the facts of this process's machine and of the nodes, and returns findings: one
that says all is well, or one for each thing that is not.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from distrain.jobs.doctor.facts import Disk, NodeFacts
from distrain.jobs.doctor.findings import Finding, Level, counted, names, ok_unless

CLOCK_WARNING_S: Final = 3.0
CLOCK_FAULT_S: Final = 300.0
GIB: Final = 2**30
# Ray takes no new object where 95 % of its disk are used, and kills workers at 95 % of the memory.
FULL_FRACTION: Final = 0.05
NEARLY_FULL_FRACTION: Final = 0.1
STORAGE_FAULT_BYTES: Final = GIB
STORAGE_WARNING_BYTES: Final = 5 * GIB
FEW_FILES: Final = 1000

# What differs there changes bits, or does not work at all; of the others a run takes no harm.
_BINDING: Final = ("python", "ray", "torch", "distrain")


def judge_versions(here: NodeFacts, nodes: Sequence[NodeFacts]) -> list[Finding]:
    """Return where nodes have other versions than this process, or lack something."""
    found: list[Finding] = []
    for library, own in here.versions.items():
        hosts = defaultdict(list)
        for node in nodes:
            if _base(node.versions.get(library)) != _base(own):
                hosts[node.versions.get(library)].append(node.host)
        for other, where in hosts.items():
            found.append(_skew(library, own, other, where))
    own_code = [
        node.host
        for node in nodes
        if node.versions.get("distrain") == here.versions.get("distrain")
        and node.code not in (None, here.code)
    ]
    if own_code:
        found.append(
            Finding(
                "versions",
                "fault",
                f"distrain has the version {here.versions.get('distrain')} there as here, and "
                "other code",
                mend="Install the same build on all nodes and here",
                where=names(own_code),
            )
        )
    told = ", ".join(f"{name} {own or 'missing'}" for name, own in here.versions.items())
    return ok_unless(found, "versions", f"{told}{_alike(nodes)}")


def _alike(nodes: Sequence[NodeFacts]) -> str:
    return f"; alike on {counted(len(nodes), 'node')}" if nodes else ""


def _base(version: str | None) -> str | None:
    """Return a version without its build: which torch it is, not what it was built for."""
    return version.partition("+")[0] if version else version


def _skew(library: str, own: str | None, other: str | None, where: Sequence[str]) -> Finding:
    level: Level = "fault" if library in _BINDING else "warning"
    if library == "python":
        mend = f"Use one Python everywhere, for example {own} of one container image"
    elif own is None:
        mend = f"Install it here too: pip install {library}=={other}"
    else:
        mend = f"Install it there: pip install {library}=={_base(own)}"
    has = f"{library} {other}" if other else f"no {library}"
    return Finding("versions", level, f"{has} there, {own or 'none'} here", mend, names(where))


def judge_torch(here: NodeFacts, nodes: Sequence[NodeFacts]) -> list[Finding]:
    """Return where torch was built for other machines than those that it is on."""
    found = []
    machines = nodes or [here]
    wrong = [m for m in machines if m.torch_build == "cpu" and (m.num_devices or m.declared_gpus)]
    for machine in wrong:
        num = max(machine.num_devices, int(machine.declared_gpus))
        found.append(
            Finding(
                "torch build",
                "fault",
                f"torch was built for CPUs, on a machine with {counted(num, 'GPU')}",
                mend="Install the build for its GPUs there: the command is on "
                "https://pytorch.org/get-started/locally",
                where=machine.host,
            )
        )
    builds = defaultdict(list)
    for machine in machines:
        if machine.torch_build and machine not in wrong:
            builds[machine.torch_build].append(machine.host)
    if len(builds) > 1:
        told = "; ".join(f"{build} on {names(hosts)}" for build, hosts in builds.items())
        mixed = f"torch is built for {told}"
        mend = "Bits are promised for one build: keep a run on like nodes"
        found.append(Finding("torch build", "warning", mixed, mend))
    built = ", ".join(builds) or "not known"
    return ok_unless(found, "torch build", f"for {built}")


def judge_clocks(nodes: Sequence[NodeFacts]) -> list[Finding]:
    """Return whose clocks are away from this one's."""
    found = []
    asked = [node for node in nodes if node.clock_offset_s is not None]
    for node in asked:
        assert node.clock_offset_s is not None
        # What the answer's way may have added is not held against the clock.
        off = max(0.0, abs(node.clock_offset_s) - node.clock_error_s)
        if off >= CLOCK_WARNING_S:
            away = "ahead" if node.clock_offset_s > 0 else "behind"
            found.append(
                Finding(
                    "clocks",
                    "fault" if off >= CLOCK_FAULT_S else "warning",
                    f"its clock is {off:,.0f} s {away} of this one's",
                    mend="Let the clocks be set by one source: `timedatectl set-ntp true`, or "
                    "chrony, on that node and here",
                    where=node.host,
                )
            )
    if not asked:
        return []
    most = max(abs(node.clock_offset_s or 0.0) for node in asked)
    return ok_unless(found, "clocks", f"at most {most:.2f} s from this one")


def judge_disks(nodes: Sequence[NodeFacts]) -> list[Finding]:
    """Return where there is no room left on a disk."""
    found = []
    for node in nodes:
        for what, disk in node.disks.items():
            found += _disk_findings(node.host, what, disk)
    least: dict[str, Disk] = {}
    for node in nodes:
        for what, disk in node.disks.items():
            if what not in least or disk.free_bytes < least[what].free_bytes:
                least[what] = disk
    told = ", ".join(f"{_gib(disk.free_bytes)} free for {what}" for what, disk in least.items())
    return ok_unless(found, "disks", f"at least {told}")


def _disk_findings(host: str, what: str, disk: Disk) -> list[Finding]:
    level = _disk_level(what, disk)
    if level == "ok":
        return []
    if disk.free_files is not None and disk.free_files < FEW_FILES:
        text = f"room for {disk.free_files:,} more files at {disk.path}"
    else:
        text = f"{_gib(disk.free_bytes)} of {_gib(disk.total_bytes)} free at {disk.path}"
    mend = {
        "storage": "Make room there, or name another folder by `storage`",
        "temporary": "Make room there, or start Ray with --temp-dir on another disk: it takes no "
        "new object where 95 % are used",
    }[what]
    return [Finding("disks", level, f"{text}, for {what}", mend, host)]


def _disk_level(what: str, disk: Disk) -> Level:
    if disk.free_files is not None and disk.free_files < FEW_FILES:
        return "fault"
    if what == "storage":
        if disk.free_bytes < STORAGE_FAULT_BYTES:
            return "fault"
        return "warning" if disk.free_bytes < STORAGE_WARNING_BYTES else "ok"
    return _share_level(disk.free_bytes, disk.total_bytes)


def judge_memory(nodes: Sequence[NodeFacts]) -> list[Finding]:
    """Return where there is no memory left."""
    found = []
    known = [node for node in nodes if node.memory_bytes]
    for node in known:
        level = _share_level(node.free_memory_bytes, node.memory_bytes)
        if level != "ok":
            text = f"{_gib(node.free_memory_bytes)} of {_gib(node.memory_bytes)} free"
            mend = "End what else runs there: Ray kills workers where 95 % are used"
            found.append(Finding("memory", level, text, mend, node.host))
    if not known:
        return []
    least = min(node.free_memory_bytes for node in known)
    return ok_unless(found, "memory", f"at least {_gib(least)} free")


def judge_stores(nodes: Sequence[NodeFacts]) -> list[Finding]:
    """Return whose object store does not work, is full, or has too little shared memory."""
    found = []
    tried = [node for node in nodes if node.store_bytes is not None]
    for node in tried:
        assert node.store_bytes is not None
        if node.store_error:
            text = f"it does not work ({node.store_error})"
            mend = "Look into raylet.err in Ray's logs there; a full disk below Ray's temporary "
            mend += "folder is the usual cause"
            found.append(Finding("object store", "fault", text, mend, node.host))
            continue
        if node.store_free_bytes < node.store_bytes * NEARLY_FULL_FRACTION:
            text = f"{_gib(node.store_free_bytes)} of {_gib(node.store_bytes)} free"
            mend = "`ray memory` names who holds objects; beyond it they go to the disk"
            found.append(Finding("object store", "warning", text, mend, node.host))
        if node.shared_bytes is not None and node.shared_bytes < node.store_bytes:
            text = f"it is {_gib(node.store_bytes)}, and /dev/shm {_gib(node.shared_bytes)}"
            mend = "Give the container more: docker run --shm-size, or a memory volume at /dev/shm"
            found.append(Finding("object store", "warning", text, mend, node.host))
    if not tried:
        return []
    total = sum(node.store_bytes or 0 for node in tried)
    return ok_unless(found, "object store", f"writes and reads, {_gib(total)} in all")


def judge_gpus(nodes: Sequence[NodeFacts]) -> list[Finding]:
    """Return where GPUs cannot be used, or Ray knows of others than there are."""
    found, seen = [], 0
    for node in nodes:
        found += _gpu_findings(node)
        seen += node.torch_gpus.num_seen if node.torch_gpus else 0
    with_gpus = [node for node in nodes if node.num_devices or node.declared_gpus]
    if not with_gpus:
        return [Finding("GPUs", "ok", "there are none")]
    if all(node.torch_gpus is None for node in with_gpus):
        return found  # torch's build is the fault, and told as that
    models = names(name for node in nodes if node.torch_gpus for name in node.torch_gpus.names)
    return ok_unless(found, "GPUs", f"{counted(seen, 'GPU')}: {models}")


def _gpu_findings(node: NodeFacts) -> list[Finding]:
    gpus = node.torch_gpus
    found = []
    if gpus is not None and gpus.error:
        text, mend = f"torch cannot be asked ({gpus.error})", "Run `nvidia-smi` there"
        return [Finding("GPUs", "fault", text, mend, node.host)]
    if gpus is not None and gpus.num_seen < max(node.num_devices, int(node.declared_gpus)):
        num = max(node.num_devices, int(node.declared_gpus))
        text = f"torch can use {gpus.num_seen} of {counted(num, 'GPU')}"
        mend = "Run `nvidia-smi` there: its driver must suit torch's CUDA, and the container must "
        mend += "be given all GPUs"
        found.append(Finding("GPUs", "fault", text, mend, node.host))
    if node.num_devices and not node.declared_gpus:
        text = f"{counted(node.num_devices, 'GPU')} that Ray was not told of"
        mend = f"Start Ray there with --num-gpus={node.num_devices}"
        found.append(Finding("GPUs", "warning", text, mend, node.host))
    if gpus is not None and gpus.num_seen and gpus.nccl is None and gpus.num_seen > 1:
        text, mend = "torch has no NCCL there", "Install the build for its GPUs there"
        found.append(Finding("GPUs", "fault", text, mend, node.host))
    return found


def nccl_versions(nodes: Sequence[NodeFacts]) -> Mapping[str, list[str]]:
    """Return hosts by the NCCL version that torch has there."""
    found: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        if node.torch_gpus and node.torch_gpus.nccl:
            found[node.torch_gpus.nccl].append(node.host)
    return found


def judge_nccl(nodes: Sequence[NodeFacts]) -> list[Finding]:
    """Return whether nodes with GPUs have one NCCL: two versions do not speak with each other."""
    found = nccl_versions(nodes)
    if len(found) <= 1:
        return [Finding("NCCL", "ok", f"NCCL {version}") for version in found]
    told = "; ".join(f"{version} on {names(hosts)}" for version, hosts in sorted(found.items()))
    return [Finding("NCCL", "fault", told, "Install the same build of torch on all of them")]


def _share_level(free: float, total: float) -> Level:
    if not total or free >= total * NEARLY_FULL_FRACTION:
        return "ok"
    return "fault" if free < total * FULL_FRACTION else "warning"


def _gib(num_bytes: float) -> str:
    if num_bytes < GIB / 10:
        return f"{num_bytes / 2**20:,.0f} MiB"
    return f"{num_bytes / GIB:,.1f} GiB"
