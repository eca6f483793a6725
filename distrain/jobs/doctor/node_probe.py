"""What a machine tells of itself: in, which folders to look at; out, plain values.

This module is sent to the nodes of a cluster by value, so that a node without distrain, or with
another one, can be asked too. So it imports nothing of distrain, and of other libraries only what
the question is about, when it is asked. What is returned is made of dicts, lists and numbers.
"""

import contextlib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LIBRARIES = ("ray", "torch", "distrain", "mlflow")
PATIENCE_S = 3.0
LOOK_S = 0.25
TORCH_TIMEOUT_S = 60.0
STORE_BYTES = 4 * 2**20
_TORCH_FACTS = """
import json, torch
told = {"num_seen": torch.cuda.device_count(), "nccl": None, "names": []}
told["names"] = [torch.cuda.get_device_name(n) for n in range(told["num_seen"])]
if torch.version.cuda and torch.distributed.is_nccl_available():
    told["nccl"] = ".".join(str(part) for part in torch.cuda.nccl.version())
print(json.dumps(told))
"""


class NodeProbe:
    """What is asked of a node, one question a method; an actor of the node's own.

    Args:
        account: environment variables of the driver's account at a cloud.
    """

    def __init__(self, account: Mapping[str, str]) -> None:
        os.environ.update(account)

    def facts(self, folders: Mapping[str, str], declared_gpus: float) -> dict[str, Any]:
        """Return what the machine tells of itself, its Ray's temporary folder among the folders."""
        worker: Any = importlib.import_module("ray._private.worker")
        session = worker._global_node.get_session_dir_path()
        return machine_facts({"temporary": session, **folders}, declared_gpus)

    def clock(self) -> float:
        """Return the time, in seconds since 1970."""
        return time.time()

    def put_mark(self, place: str, name: str, text: str) -> str | None:
        """Write a file, as `put_mark`."""
        return put_mark(place, name, text)

    def missed_marks(self, place: str, marks: Mapping[str, str]) -> list[str]:
        """Return which files are not read here, as `missed_marks`."""
        return missed_marks(place, marks)

    def try_store(self) -> str | None:
        """Return why the node's object store does not work, None where it does."""
        return try_store()


def machine_facts(folders: Mapping[str, str], declared_gpus: float) -> dict[str, Any]:
    """Return what this machine tells of itself.

    Args:
        folders: absolute paths by what they are for; they need not exist.
        declared_gpus: how many GPUs Ray was told of; 0: none.
    """
    num_devices = _num_devices()
    has_gpus = num_devices > 0 or declared_gpus > 0
    return {
        "versions": {"python": platform.python_version(), **{n: _version(n) for n in LIBRARIES}},
        "code": _code_digest(),
        "torch_build": _torch_build(),
        "num_devices": num_devices,
        "declared_gpus": declared_gpus,
        "torch_gpus": _torch_facts() if has_gpus and _torch_build() not in (None, "cpu") else None,
        "disks": {what: _disk(Path(folder)) for what, folder in folders.items()},
        **_memory(),
        "shared_bytes": _shared_bytes(),
    }


def put_mark(place: str, name: str, text: str) -> str | None:
    """Write a file, and return why it could not be written; None: it was.

    Args:
        place: a folder that exists, or the URI of one.
        name: the file's.
        text: what it holds.
    """
    try:
        if "://" not in place:
            with (Path(place) / name).open("x", encoding="utf-8") as file:
                file.write(text)
            return None
        system, path = _remote(place, name)
        with system.open_output_stream(path) as stream:
            stream.write(text.encode())
    except Exception as error:  # told: libraries of file systems raise what they like
        return f"{type(error).__name__}: {error}"
    return None


def missed_marks(place: str, marks: Mapping[str, str]) -> list[str]:
    """Return the names of files that are not there, or hold something else, after some patience.

    Args:
        place: a folder, or the URI of one.
        marks: by name, what each file should hold.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(OSError):  # NFS remembers what was not there until it is listed
            list(Path(place).iterdir())
        missed = [name for name, text in marks.items() if _read(place, name) != text]
        if not missed or time.monotonic() > deadline:
            return missed
        time.sleep(LOOK_S)


def remove_mark(place: str, name: str) -> None:
    """Remove a file of remote storage; one that is not there is no fault."""
    with contextlib.suppress(Exception):
        system, path = _remote(place, name)
        system.delete_file(path)


def try_store() -> str | None:
    """Return why the object store of this process's node does not work, None where it does."""
    import ray

    try:
        sent = os.urandom(STORE_BYTES)
        found = ray.get(ray.put(sent), timeout=30)
    except Exception as error:  # told, whatever Ray raises of it
        return f"{type(error).__name__}: {error}"
    return None if found == sent else "what was read is not what was written"


def run_alone(source: str, words: Sequence[str], timeout_s: float) -> dict[str, Any]:
    """Run a Python program in a process of its own, and return the JSON object of its last line.

    Args:
        source: its text.
        words: its arguments.
        timeout_s: seconds that it may take.

    Returns:
        Its object, or `{"error": text}`.
    """
    with tempfile.TemporaryDirectory(prefix="distrain-doctor-") as folder:
        program = Path(folder) / "program.py"
        program.write_text(source, encoding="utf-8")
        return _run([sys.executable, "-P", str(program), *words], timeout_s)


def _run(command: Sequence[str], timeout_s: float) -> dict[str, Any]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
        found = json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {timeout_s:.0f} s"}
    except (OSError, ValueError, IndexError):
        return {"error": (done.stderr.strip().splitlines() or ["it said nothing"])[-1]}
    return dict(found)


def _read(place: str, name: str) -> str | None:
    try:
        if "://" not in place:
            return (Path(place) / name).read_text(encoding="utf-8")
        system, path = _remote(place, name)
        with system.open_input_stream(path) as stream:
            return bytes(stream.read()).decode()
    except Exception:  # not there, or not readable: which of them the writer's error tells
        return None


def _remote(place: str, name: str) -> tuple[Any, str]:
    from pyarrow import fs

    base, mark, query = place.partition("?")
    system, path = fs.FileSystem.from_uri(f"{base.rstrip('/')}/{name}{mark}{query}")
    return system, path


def _version(library: str) -> str | None:
    """Return a library's version, None where it cannot be imported; `?` where nothing names it."""
    if importlib.util.find_spec(library) is None:
        return None
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "?"


def _folder_of(library: str) -> Path | None:
    spec = importlib.util.find_spec(library)
    return Path(spec.origin).parent if spec and spec.origin else None


def _code_digest() -> str | None:
    """Return a digest of distrain's own source, the same for the same code."""
    folder = _folder_of("distrain")
    if folder is None:
        return None
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _torch_build() -> str | None:
    """Return what torch was built for, from its own note: importing it takes seconds."""
    folder = _folder_of("torch")
    if folder is None or not (folder / "version.py").is_file():
        return None
    note = (folder / "version.py").read_text(encoding="utf-8")
    for name, kind in (("cuda", "CUDA"), ("hip", "ROCm"), ("xpu", "XPU")):
        found = re.search(rf"^{name}\b[^=\n]*=\s*['\"]([^'\"]+)", note, re.MULTILINE)
        if found:
            return f"{kind} {found[1]}"
    return "cpu"


def _torch_facts() -> dict[str, Any]:
    """Return what torch sees of the GPUs, also of those that Ray hides from this process."""
    hidden = os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    try:
        return run_alone(_TORCH_FACTS, [], TORCH_TIMEOUT_S)
    finally:
        if hidden is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = hidden


def _num_devices() -> int:
    """Return how many GPUs the system itself shows."""
    nvidia = list(Path("/proc/driver/nvidia/gpus").glob("*"))
    if nvidia:
        return len(nvidia)
    return len(list(Path("/dev/dri").glob("renderD*"))) if Path("/dev/kfd").exists() else 0


def _disk(folder: Path) -> dict[str, Any]:
    """Return what is free where a folder is, or would be made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    usage, files = shutil.disk_usage(folder), os.statvfs(folder)
    return {
        "path": str(folder),
        "total_bytes": usage.total,
        "free_bytes": usage.free,
        # Some file systems count no files, and say 0 of 0.
        "free_files": files.f_favail if files.f_files else None,
    }


def _memory() -> dict[str, int]:
    """Return the memory that this process may use, and what is free of it, in bytes."""
    found = {
        name: int(text.split()[0]) * 1024
        for name, _, text in (
            line.partition(":") for line in _text_of("/proc/meminfo").splitlines()
        )
        if name in ("MemTotal", "MemAvailable")
    }
    total, free = found.get("MemTotal", 0), found.get("MemAvailable", 0)
    limit, used = (_text_of(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    if limit.isdigit() and used.isdigit() and int(limit) < total:
        cached = re.search(r"^inactive_file (\d+)", _text_of("/sys/fs/cgroup/memory.stat"), re.M)
        total = int(limit)
        free = min(free, total - int(used) + (int(cached[1]) if cached else 0))
    return {"memory_bytes": total, "free_memory_bytes": free}


def _shared_bytes() -> int | None:
    """Return the size of the shared memory, None where there is none."""
    return shutil.disk_usage("/dev/shm").total if Path("/dev/shm").is_dir() else None


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
