"""Where a run comes from: code, environment, machine and configuration, as digests and tags.

Everything is read on the driver, from its working directory: a worker's own view (its script, its
folder) would name the wrong source.
"""

import functools
import getpass
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import distrain

PACKAGES = ("distrain", "ray", "torch", "pyarrow", "numpy", "pandas", "mlflow", "safetensors")
GIT_TIMEOUT_S = 3.0


@final
@dataclass(frozen=True)
class GitFacts:
    """The state of a git working tree.

    Attributes:
        commit: 40 hex digits.
        branch: its name; None: detached.
        is_dirty: whether tracked files differ from the commit.
        remote: the origin's URL without credentials; None: no origin.
    """

    commit: str
    branch: str | None
    is_dirty: bool
    remote: str | None


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value in its canonical form (64 hex digits)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def code_digest(user_code: Iterable[Path] = ()) -> str:
    """Return the SHA-256 over distrain's own sources and the user's (64 hex digits).

    Args:
        user_code: the user's modules and packages: files, or folders with `.py` files below.
    """
    state = hashlib.sha256()
    for root in (Path(distrain.__file__).parent, *user_code):
        files = sorted(root.rglob("*.py")) if root.is_dir() else [root]
        for path in files:
            name = path.relative_to(root.parent).as_posix()
            state.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return state.hexdigest()


def git_facts(folder: Path) -> GitFacts | None:
    """Return the state of the working tree that a folder is in, or None where there is none.

    Args:
        folder: any folder; without git, a repository or a first commit the answer is None.
    """
    status = _git(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    if status is None:
        return None
    lines = status.splitlines()
    heads = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# branch."))
    commit, branch = heads.get("branch.oid", ""), heads.get("branch.head")
    if not re.fullmatch(r"[0-9a-f]{40,64}", commit):
        return None
    remote = _git(folder, "config", "--get", "remote.origin.url")
    return GitFacts(
        commit=commit,
        branch=None if branch == "(detached)" else branch,
        is_dirty=any(not line.startswith("#") for line in lines),
        remote=re.sub(r"://[^/@]*@", "://", remote.strip()) if remote else None,
    )


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


def machine_facts() -> dict[str, str]:
    """Return what the driver runs on, as tags."""
    return {
        "distrain.host": platform.node(),
        "distrain.system": f"{platform.system()} {platform.machine()}",
        "distrain.cpu": f"{_cpu_model()} x {os.cpu_count()}",
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
        "mlflow.user": _user(),
        "mlflow.source.name": source_name(sys.argv),
        "mlflow.source.type": "LOCAL",
    }
    git = git_facts(Path.cwd())
    return tags | machine_facts() | (_git_tags(git) if git else {})


def source_name(argv: Sequence[str]) -> str:
    """Return the command without options and overrides, such as `distrain train run.yaml`.

    Args:
        argv: a process's arguments, its program first.
    """
    program = Path(argv[0]).name if argv and argv[0] else "python"
    plain = [word for word in argv[1:] if not word.startswith("-") and "=" not in word]
    return " ".join([program, *plain])[:250]


def _git_tags(git: GitFacts) -> dict[str, str]:
    tags = {
        "mlflow.source.git.commit": git.commit,
        "mlflow.source.git.branch": git.branch,
        "mlflow.source.git.repoURL": git.remote,
        "distrain.code.commit": git.commit,
        "distrain.code.dirty": str(git.is_dirty).lower(),
    }
    return {name: value for name, value in tags.items() if value is not None}


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=GIT_TIMEOUT_S, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        # A container may run under a user id that has no name.
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()
