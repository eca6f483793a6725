"""Local data that goes along with a job, for a cluster that does not see it.

Its files travel in the package, and the job keeps them below `<storage>/uploaded`, by their
content: every node sees them there, and so does whoever goes on with the run.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, final

from distrain.config.data import IdxSource, Source
from distrain.config.environment import expand_env
from distrain.config.settings import Settings
from distrain.errors import ConfigError
from distrain.jobs.package import DATA, digest_of
from distrain.jobs.refusals import is_local
from distrain.locations import below_storage, store_at
from distrain.run_folder import UPLOADED

_DIGITS: Final = 16
_IN_URI: Final = re.compile(r"[A-Za-z0-9._*/-]+")


@final
@dataclass(frozen=True)
class Uploads:
    """What of the data goes along.

    Attributes:
        files: name in the package to path here.
        kept_in: folder in the package to the folder that the job keeps it in, which may hold
            `${VAR}`, or its URI.
        sources: configuration key to what it names from then on.
    """

    files: dict[str, Path] = field(default_factory=dict)
    kept_in: dict[str, str] = field(default_factory=dict)
    sources: dict[str, Any] = field(default_factory=dict)


def uploads_for(settings: Settings) -> Uploads:
    """Return the local data of a configuration.

    Args:
        settings: what the job does.

    Raises:
        DataError: something that is named is not there.
    """
    uploads = Uploads()

    def along(name: str) -> str:
        filled = expand_env(name)
        return _add(uploads, filled, settings) if is_local(filled) else name

    data = settings.data
    for key, source in (("source", data.source), ("test_source", data.test_source)):
        if source is not None:
            uploads.sources[f"data.{key}"] = _each(source, along)
    return uploads


def _each(source: Source, change: Callable[[str], str]) -> Any:
    if isinstance(source, IdxSource):
        return {"idx": {"images": change(source.idx.images), "labels": change(source.idx.labels)}}
    return change(source) if isinstance(source, str) else [change(name) for name in source]


def _add(uploads: Uploads, name: str, settings: Settings) -> str:
    """Add what a path names to the uploads and return what names it then."""
    base, files = _files_of(name, settings.data.format)
    kept_in = f"{UPLOADED}/{digest_of(files)[:_DIGITS]}"
    folder = f"{DATA}/{len(uploads.kept_in)}"
    uploads.kept_in[folder] = below_storage(settings, kept_in)
    uploads.files.update({f"{folder}/{inner}": path for inner, path in files.items()})
    inner = _local(name).relative_to(base).as_posix()
    if store_at(settings) is not None:
        _check_names([inner, *files], name)
    return below_storage(settings, kept_in if inner == "." else f"{kept_in}/{inner}")


def _check_names(names: Iterable[str], asked: str) -> None:
    """Refuse names that a URI cannot hold as they are."""
    odd = next((name for name in names if not _IN_URI.fullmatch(name)), None)
    if odd is not None:
        raise ConfigError(
            f"{odd!r} cannot be kept at an object store: its URI would not lead to it",
            where=f"--upload-data, {asked}",
            expected="names of letters, digits and ._-*, in folders of such names",
            mend="Rename it, or name the folder that it is in",
        )


def _files_of(name: str, format_: str | None) -> tuple[Path, Mapping[str, Path]]:
    """Return the files that a path or glob names, by their names in a folder, and the folder."""
    path = _local(name)
    if path.is_file():
        return path.parent, {path.name: path}
    from distrain.data.sources import list_source, local_places  # half a second of pyarrow

    [place] = local_places(name)
    base = place.parent if place == path else place  # of a glob: before its first wildcard
    listed = [_local(file.uri) for file in list_source(name, format_).files]
    return base, {file.relative_to(base).as_posix(): file for file in listed}


def _local(name: str) -> Path:
    return Path(name.removeprefix("file://")).expanduser().absolute()
