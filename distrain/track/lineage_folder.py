"""A run's `lineage/` folder: what is needed to make the run again, and to tell what differs.

```
lineage.json        SHA-256 of each of the other files; its own is a tag of run and version
config.yaml         the resolved configuration, variables not filled in
data.json           source files, recipe, splits and shards with their hashes, profile, findings
code.json           distrain's own files and the user's with their hashes; the git commit
code/               the user's own modules, as they were
uncommitted.diff    what tracked files had beside the commit; lines like secrets are masked
requirements.txt    everything that was installed
machine.json        what it ran on
earlier/<12 hex>/   the same of an earlier attempt, where a resumed run had another
```

Written on the driver when a run starts, where the user stands; sent as the artifact `lineage`.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from distrain.redaction import without_credentials
from distrain.track import standing
from distrain.track.lineage import digest, environment_facts, installed, own_hashes
from distrain.track.source_files import is_too_large, source_files

FOLDER: Final = "lineage"
INDEX: Final = "lineage.json"
CONFIG: Final = "config.yaml"
DATA: Final = "data.json"
CODE: Final = "code.json"
DIFF: Final = "uncommitted.diff"
LOCK: Final = "requirements.txt"
MACHINE: Final = "machine.json"
USER_CODE: Final = "code"
EARLIER: Final = "earlier"


def write_lineage(
    folder: Path,
    *,
    config: str,
    manifest: Mapping[str, Any],
    user_code: Sequence[Path],
    machine: Mapping[str, Any],
) -> str:
    """Write where a run comes from and return the SHA-256 of `lineage.json`.

    What an earlier attempt left there is kept below `earlier/` if it is not the same.

    Args:
        folder: `<run>/lineage`.
        config: text of the resolved configuration.
        manifest: the prepared dataset's.
        user_code: the user's own modules and packages.
        machine: see `lineage.machine`.
    """
    kept, left_out = _user_files(user_code)
    code, diff = _code(kept, left_out)
    files = {
        CONFIG: config.encode(),
        DATA: _json(data_facts(manifest)),
        CODE: _json(code),
        LOCK: "".join(f"{name}=={version}\n" for name, version in installed().items()).encode(),
        MACHINE: _json(machine),
        **({} if diff is None else {DIFF: diff.encode()}),
    }
    index = _json(
        {"format": 1, "files": {name: sha256(content) for name, content in files.items()}}
    )
    _put_aside(folder, index)
    # What the last attempt had and this one has not would be taken for this one's.
    shutil.rmtree(folder / USER_CODE, ignore_errors=True)
    (folder / DIFF).unlink(missing_ok=True)
    files |= {f"{USER_CODE}/{name}": content for name, content in kept.items()}
    for name, content in {**files, INDEX: index}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return sha256(index)


def data_facts(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a prepared dataset was made from and became, as plain values.

    Args:
        manifest: the prepared dataset's.

    Returns:
        `digest`, `format`, `recipe`, `sources` (uri, num_bytes, num_rows, sha256), `splits` (name
        to num_rows and shards with file, num_rows, sha256), `profile` (by column), `profile_order`
        (the columns as the source has them) and `findings`.
    """
    kept = ("digest", "format", "recipe", "profile", "profile_order", "findings")
    return {
        **{name: manifest[name] for name in kept if name in manifest},
        "sources": [
            {**source, "uri": without_credentials(str(source["uri"]))}
            for source in manifest.get("sources", [])
        ],
        "splits": {
            split: {
                "num_rows": facts["num_rows"],
                "shards": [
                    {name: shard[name] for name in ("file", "num_rows", "sha256")}
                    for shard in facts["shards"]
                ],
            }
            for split, facts in manifest.get("splits", {}).items()
        },
    }


def lineage_of(folder: Path, sha: str | None) -> Path | None:
    """Return the folder whose `lineage.json` has a hash, None where there is none.

    Args:
        folder: `<run>/lineage`.
        sha: the hash; None: that of the last attempt is meant.
    """
    if not (folder / INDEX).is_file():
        return None
    if sha is None or sha256((folder / INDEX).read_bytes()) == sha:
        return folder
    earlier = folder / EARLIER / sha[:12]
    # Altered, but not an earlier attempt's: whoever asked finds what in it is not as it was.
    return earlier if (earlier / INDEX).is_file() else folder


def read_lock(folder: Path) -> dict[str, str]:
    """Return what was installed, version by name.

    Args:
        folder: one that `lineage_of` gave.

    Raises:
        OSError: it cannot be read.
    """
    lines = (folder / LOCK).read_text(encoding="utf-8").split()
    return {name: version for name, _, version in (line.partition("==") for line in lines)}


def sha256(content: bytes) -> str:
    """Return the SHA-256 of some bytes (64 hex digits)."""
    return hashlib.sha256(content).hexdigest()


def _code(
    kept: Mapping[str, bytes], left_out: Mapping[str, int]
) -> tuple[dict[str, Any], str | None]:
    """Return what code a run is made by, and the text of what is not committed."""
    git = standing.git_here()
    changes = standing.changes_here(git)
    own = dict(own_hashes())
    code: dict[str, Any] = {
        "distrain": {
            "version": environment_facts().get("distrain"),
            "sha256": digest(own),
            "files": own,
        },
        "user": {
            "files": {name: sha256(content) for name, content in kept.items()},
            "left_out": dict(left_out),
        },
        "git": asdict(git) if git else None,
    }
    if changes is not None:
        facts = {"num_bytes": changes.num_bytes, "num_masked": changes.num_masked}
        code["git"]["uncommitted"] = {**facts, "is_cut": changes.is_cut}
    return code, changes.text if changes is not None else None


def _user_files(roots: Sequence[Path]) -> tuple[dict[str, bytes], dict[str, int]]:
    """Return the content of the user's files, and the bytes of those that are too large."""
    kept: dict[str, bytes] = {}
    left_out: dict[str, int] = {}
    for root in roots:
        for name, path in source_files(root):
            if is_too_large(path):
                left_out[name] = path.stat().st_size
            else:
                kept[name] = path.read_bytes()
    return kept, left_out


def _put_aside(folder: Path, index: bytes) -> None:
    """Keep what an earlier attempt left, unless it is the same, below `earlier/`.

    It is copied, not moved: it may not have been shipped yet from where it is.
    """
    try:
        before = (folder / INDEX).read_bytes()
    except FileNotFoundError:
        return
    if before == index:
        return
    place = folder / EARLIER / sha256(before)[:12]
    if place.exists():  # a run that went back to what it was two attempts ago
        return
    partial = place.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a driver that was killed while it copied
    shutil.copytree(folder, partial, ignore=shutil.ignore_patterns(EARLIER, "__pycache__"))
    partial.rename(place)


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
