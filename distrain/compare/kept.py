"""What a run's lineage says that it was made from, read once and checked for its form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from distrain.errors import ConfigError, first_line
from distrain.foreign import read_json
from distrain.track import lineage_folder

_FORM: Final = {"digest": str, "splits": dict}
"""What prepared data has in any case."""


@final
@dataclass(frozen=True)
class Kept:
    """What a run was made from.

    Attributes:
        folder: of its lineage.
        version: distrain's.
        own_sha256: over distrain's own code.
        own_files: SHA-256 of distrain's own files, by name.
        user_files: likewise of the user's; of one that was too large, how large it is.
        git: commit, branch and remote, as far as they are known, and `is_dirty`.
        diff: what tracked files had beside the commit; None: not known.
        libraries: what was installed beside distrain, version by name, Python among them.
        machine: what it was made on.
        data: its prepared dataset, as `lineage_folder.data_facts` gives it.
        sources: the files of that, with `uri` and `sha256`.
    """

    folder: Path
    version: str
    own_sha256: str
    own_files: Mapping[str, str]
    user_files: Mapping[str, str]
    git: Mapping[str, Any]
    diff: str | None
    libraries: Mapping[str, str]
    machine: Mapping[str, Any]
    data: Mapping[str, Any]
    sources: Sequence[Mapping[str, Any]]


def read_kept(folder: Path) -> Kept:
    """Return what a run was made from.

    Args:
        folder: of its lineage.

    Raises:
        ConfigError: a file of it is gone or damaged.
    """
    try:
        return _read(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise ConfigError(
            f"what the run was made from cannot be read ({first_line(fault)})",
            where=str(folder),
            expected="the files that were kept with the run",
            mend="Put them back as they were, or compare other runs",
        ) from fault


def _read(folder: Path) -> Kept:
    code, data = (read_json(folder / name) for name in (lineage_folder.CODE, lineage_folder.DATA))
    machine = read_json(folder / lineage_folder.MACHINE)
    diff = folder / lineage_folder.DIFF
    own, users = code["distrain"], code["user"]
    libraries = {"python": str(machine["python"]), **lineage_folder.read_lock(folder)}
    libraries.pop("distrain", None)  # told with its code
    sources = [{"uri": str(one["uri"]), "sha256": str(one["sha256"])} for one in data["sources"]]
    if not all(isinstance(data[key], kind) for key, kind in _FORM.items()):
        raise ValueError("it has other fields")
    return Kept(
        folder=folder,
        version=str(own["version"]),
        own_sha256=str(own["sha256"]),
        own_files={str(name): str(sha) for name, sha in own["files"].items()},
        user_files={
            **{str(name): str(sha) for name, sha in users["files"].items()},
            **{str(name): f"{size:,} bytes" for name, size in users["left_out"].items()},
        },
        git=dict(code.get("git") or {}),
        diff=diff.read_text(encoding="utf-8", errors="replace") if diff.is_file() else None,
        libraries=libraries,
        machine=dict(machine),
        data=dict(data),
        sources=sources,
    )
