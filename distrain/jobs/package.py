"""What a job brings along, as one archive that Ray unpacks on every node that needs it.

```
distrain/            the distrain of here, before any that the cluster has
distrain-*.dist-info/    its name and version
ticket.json          what the job is told (`ticket.py`)
config/<n>/          the configuration files, in their order
code/                the user's modules: the job's working directory
data/<n>/            data that was asked to go along
```

The archive is named by its content: the same is sent once. Files of any age give the same bytes.
"""

import hashlib
import importlib.metadata
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import distrain
from distrain.errors import ConfigError
from distrain.track.source_files import source_files

Files = Mapping[str, Path | bytes]

MAX_BYTES: Final = 100 << 20
"""What Ray's dashboard takes in one request."""
CONFIG: Final = "config"
CODE: Final = "code"
DATA: Final = "data"
_SHOWN: Final = 5
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def own_files() -> dict[str, Path | bytes]:
    """Return distrain's own sources, with its name and version as an installation has them."""
    files: dict[str, Path | bytes] = dict(source_files(Path(distrain.__file__).parent))
    try:
        installed = importlib.metadata.distribution("distrain")
    except importlib.metadata.PackageNotFoundError:
        return files
    for name, other in (("METADATA", "PKG-INFO"), ("entry_points.txt", "")):
        text = installed.read_text(name) or (installed.read_text(other) if other else None)
        if text:
            files[f"distrain-{installed.version}.dist-info/{name}"] = text.encode()
    return files


def check_size(files: Files, max_bytes: int = MAX_BYTES) -> None:
    """Refuse files that are too many bytes, before anything is sent.

    Raises:
        ConfigError: they are; the largest are named.
    """
    sizes = {name: _size(content) for name, content in files.items()}
    total = sum(sizes.values())
    if total <= max_bytes:
        return
    largest = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:_SHOWN]
    shown = ", ".join(f"{_origin(files[name], name)} ({_mib(sizes[name])})" for name in largest)
    raise ConfigError(
        f"{len(files):,} files of {_mib(total)} are too much to send with a job; the largest: "
        f"{shown}",
        where="what is submitted",
        expected=f"at most {_mib(max_bytes)}",
        mend="Name what the job does not need in .rayignore, and leave data on storage that the "
        "cluster sees",
    )


def digest_of(files: Files) -> str:
    """Return the SHA-256 over names and contents (64 hex digits)."""
    state = hashlib.sha256()
    for name in sorted(files):
        state.update(f"{name}\0".encode())
        state.update(hashlib.sha256(_content(files[name])).digest())
    return state.hexdigest()


def archive(files: Files) -> bytes:
    """Return the files as a zip archive: the same files, the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            zipped.writestr(entry, _content(files[name]))
    return packed.getvalue()


def _content(content: Path | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _origin(content: Path | bytes, name: str) -> str:
    return name if isinstance(content, bytes) else str(content)


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:,.1f} MiB"
