"""Where a run comes from: code, environment, machine and configuration, as digests and tags.

Everything is read on the driver: a worker's own view (its script, its folder) would name the wrong
source. Code and user are those of where the user stands (`standing.py`).

`importlib.metadata` parses each distribution's whole metadata for its name and version: 146 ms for
142 of them, where the names of their folders tell the same in 1 ms (2026-11-21).
"""

import functools
import hashlib
import importlib
import importlib.metadata
import json
import os
import platform
import re
import site
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import distrain
from distrain.redaction import redacted
from distrain.track import standing
from distrain.track.git import GitFacts
from distrain.track.origin import JOB_TAG
from distrain.track.source_files import source_files

PACKAGES = ("distrain", "ray", "torch", "pyarrow", "numpy", "pandas", "mlflow", "safetensors")
_INSTALLED: Final = re.compile(
    r"(?P<name>.+?)-(?P<version>\d[^-]*)(-py[\d.]+)?\.(dist|egg)-info", re.IGNORECASE
)


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value in its canonical form (64 hex digits)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def code_hashes(roots: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of each `.py` file of some modules and packages, by name."""
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for root in roots
        for name, path in source_files(root)
        if path.suffix == ".py"
    }


@functools.cache
def own_hashes() -> Mapping[str, str]:
    """Return the SHA-256 of each of distrain's own sources, by name."""
    return code_hashes([Path(distrain.__file__).parent])


def code_digest(user_code: Iterable[Path] = ()) -> str:
    """Return the SHA-256 over distrain's own sources and the user's (64 hex digits).

    Args:
        user_code: the user's modules and packages: files, or folders with `.py` files below.
    """
    return digest([own_hashes(), code_hashes(user_code)])


@functools.cache
def environment_facts() -> Mapping[str, str]:
    """Return the versions of Python and of the packages that a run depends on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def installed() -> Mapping[str, str]:
    """Return the version of everything that is installed, by normalised name, sorted.

    Looked for in Python's own folders for packages alone: others come and go on `sys.path`, such as
    the copies that `import ray` puts there.
    """
    folders = site.getsitepackages() + [site.getusersitepackages()] * bool(site.ENABLE_USER_SITE)
    found: dict[str, str] = {}
    for folder in dict.fromkeys(map(Path, folders)):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            match = _INSTALLED.fullmatch(path.name)
            if match:
                name = re.sub(r"[-_.]+", "-", match["name"]).lower()
                found.setdefault(name, match["version"])
    return dict(sorted(found.items()))


def machine_facts() -> dict[str, str]:
    """Return what the driver runs on, as tags."""
    return {
        "distrain.host": platform.node(),
        "distrain.system": f"{platform.system()} {platform.machine()}",
        "distrain.cpu": f"{_cpu_model()} x {os.cpu_count()}",
    }


def machine(device: str, device_names: Sequence[str]) -> dict[str, Any]:
    """Return what a run is made on, as plain values.

    Args:
        device: what the workers compute on: `cpu` or `cuda`.
        device_names: names of this machine's GPUs.
    """
    torch = importlib.import_module("torch")
    return {
        "host": platform.node(),
        "user": standing.user_here(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "num_cores": os.cpu_count(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": device,
        "gpus": list(device_names),
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        **{name: environment_facts().get(name) for name in ("torch", "ray")},
    }


def run_tags(*, config_digest: str, seed: int, user_code: Iterable[Path] = ()) -> dict[str, str]:
    """Return the tags that say where a run comes from; read when it starts. Takes about 30 ms.

    Args:
        config_digest: of the resolved configuration.
        seed: the run's seed.
        user_code: files and folders of the user's own modules.
    """
    environment = environment_facts()
    tags = {
        "distrain.kind": "run",
        "distrain.version": environment.get("distrain", "unknown"),
        "distrain.config.sha256": config_digest,
        "distrain.code.sha256": code_digest(user_code),
        "distrain.env.sha256": digest(environment),
        "distrain.env": ", ".join(f"{name} {version}" for name, version in environment.items()),
        "distrain.seed": str(seed),
        "mlflow.user": standing.user_here(),
        "mlflow.source.name": source_name(sys.argv),
        "mlflow.source.type": "LOCAL",
    }
    job_id, git = standing.job_here(), standing.git_here()
    if job_id is not None:
        tags[JOB_TAG] = job_id
    return tags | machine_facts() | (_git_tags(git) if git else {})


def source_name(argv: Sequence[str]) -> str:
    """Return the command without options and overrides, such as `distrain train run.yaml`.

    Args:
        argv: a process's arguments, its program first.
    """
    program = Path(argv[0]).name if argv and argv[0] else "python"
    plain = [word for word in argv[1:] if not word.startswith("-") and "=" not in word]
    return redacted(" ".join([program, *plain]))[:250]


def _git_tags(git: GitFacts) -> dict[str, str]:
    tags = {
        "mlflow.source.git.commit": git.commit,
        "mlflow.source.git.branch": git.branch,
        "mlflow.source.git.repoURL": git.remote,
        "distrain.code.commit": git.commit,
        "distrain.code.dirty": str(git.is_dirty).lower(),
    }
    return {name: value for name, value in tags.items() if value is not None}


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()
