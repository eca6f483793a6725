"""The facts that are judged: plain frozen values, whoever found them out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self, final

from distrain.errors import first_line

HERE: Final = "here"
"""What this process is called among the hosts that write and read marks."""


@final
@dataclass(frozen=True)
class Disk:
    """The file system that a folder is on.

    Attributes:
        path: the folder, or the nearest one that exists.
        total_bytes: its size.
        free_bytes: what this user may still write.
        free_files: how many files may still be made; None: it is not counted.
    """

    path: str
    total_bytes: int
    free_bytes: int
    free_files: int | None = None


@final
@dataclass(frozen=True)
class TorchGpus:
    """What torch sees of a node's GPUs.

    Attributes:
        num_seen: how many it can use.
        names: theirs.
        nccl: NCCL's version; None: torch has none.
        error: why torch could not be asked; None: it was.
    """

    num_seen: int = 0
    names: tuple[str, ...] = ()
    nccl: str | None = None
    error: str | None = None


@final
@dataclass(frozen=True)
class NodeFacts:
    """What one node tells of itself.

    Attributes:
        host: its name and address, as a person is told them.
        versions: of `python` and libraries; None: cannot be imported there.
        code: digest of distrain's source there; None: it is not there.
        torch_build: `cpu`, or such as `CUDA 12.8`; None: not known.
        num_devices: GPUs that the system shows.
        declared_gpus: GPUs that Ray was told of.
        torch_gpus: what torch sees of them; None: it was not asked.
        disks: what is free, by what the folder is for: `storage`, `temporary`.
        memory_bytes: what processes may use.
        free_memory_bytes: what is free of it.
        shared_bytes: size of `/dev/shm`; None: there is none.
        store_bytes: size of the node's object store; None: it was not tried.
        store_free_bytes: what is free of it.
        store_error: why the object store does not work; None: it does.
        clock_offset_s: its clock minus this one's; None: it is this one.
        clock_error_s: by how much that may be wrong.
    """

    host: str
    versions: Mapping[str, str | None]
    code: str | None = None
    torch_build: str | None = None
    num_devices: int = 0
    declared_gpus: float = 0.0
    torch_gpus: TorchGpus | None = None
    disks: Mapping[str, Disk] = field(default_factory=dict)
    memory_bytes: int = 0
    free_memory_bytes: int = 0
    shared_bytes: int | None = None
    store_bytes: float | None = None
    store_free_bytes: float = 0.0
    store_error: str | None = None
    clock_offset_s: float | None = None
    clock_error_s: float = 0.0

    @classmethod
    def of_plain(cls, host: str, told: Mapping[str, Any], **more: Any) -> Self:
        """Return the facts that `node_probe.machine_facts` told.

        Args:
            host: the node's name.
            told: what it told.
            more: what others know of it, by attribute.
        """
        gpus = told["torch_gpus"]
        if gpus is not None:
            names = tuple(gpus.get("names", ()))
            gpus = TorchGpus(gpus.get("num_seen", 0), names, gpus.get("nccl"), gpus.get("error"))
        disks = {what: Disk(**disk) for what, disk in told["disks"].items()}
        return cls(host=host, **{**told, "torch_gpus": gpus, "disks": disks, **more})


@final
@dataclass(frozen=True)
class ClusterNode:
    """A node as Ray's control store knows it.

    Attributes:
        id: Ray's id of it.
        host: its name and address, as a person is told them.
        is_alive: whether Ray counts it as alive.
        answers: whether it answers at all; of a node that is not alive: False.
        total: its resources by Ray's names.
        free: what nobody has reserved of them.
        why_dead: what Ray says of its end; empty: it lives, or left as was asked.
        is_replaced: whether a node at its address has come since it died.
    """

    id: str
    host: str
    is_alive: bool = True
    answers: bool = True
    total: Mapping[str, float] = field(default_factory=dict)
    free: Mapping[str, float] = field(default_factory=dict)
    why_dead: str = ""
    is_replaced: bool = False


@final
@dataclass(frozen=True)
class Sight:
    """What one host sees of a place.

    Attributes:
        host: the host.
        is_seen: whether the folder is there.
        error: why it could not write there; None: it could.
        unread: hosts whose files it does not read there.
    """

    host: str
    is_seen: bool = True
    error: str | None = None
    unread: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class Place:
    """A place that runs keep something in, and who sees it.

    Attributes:
        key: the configuration key that names it.
        location: an absolute path, or a URI without its password.
        is_remote: whether it is a URI.
        error: why this process cannot write there; None: it can.
        has_account: whether this process has credentials for it; of a path: True.
        sights: what other hosts see of it.
    """

    key: str
    location: str
    is_remote: bool = False
    error: str | None = None
    has_account: bool = True
    sights: tuple[Sight, ...] = ()


@final
@dataclass(frozen=True)
class Speed:
    """How fast a node's GPUs are.

    Attributes:
        host: the node.
        tflops: of each GPU, in a matrix product.
        link: GB/s in an all-reduce among them; None: there is one.
        why: why nothing was measured; None: it was.
    """

    host: str
    tflops: tuple[float, ...] = ()
    link: float | None = None
    why: str | None = None


def plain_reason(error: str) -> str:
    """Return why something failed, from what `node_probe` told: one line, secrets masked."""
    return first_line(ValueError(error.partition(": ")[2] or error))
