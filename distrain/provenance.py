"""What of a run's origin is not as it was: its lineage against what is at hand here and now.

In: a recorded run. Out: differences, in the order configuration, libraries, machine, code, data.
Nothing is trained, and nothing written.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import distrain.differences as differing
from distrain.config.changes import changed_keys, with_counterparts
from distrain.config.data import DataSettings, Source
from distrain.config.digest import resolved_dict
from distrain.config.load import load_settings
from distrain.config.settings import Settings
from distrain.config.source_lines import read_tree
from distrain.data.content import changed_rows, content_hashes
from distrain.data.kinds import source_of
from distrain.data.prepared import PreparedDataset
from distrain.data.shards import SPLITS
from distrain.data.sources import list_source
from distrain.differences import Difference, Part
from distrain.errors import ConfigError, DataError, ModelError, first_line
from distrain.foreign import is_inner_name, read_json
from distrain.locations import cache_of
from distrain.object_store.link import link_of
from distrain.object_store.place import remote_text
from distrain.redaction import without_credentials
from distrain.stored_run import LENGTHS, Started
from distrain.track import lineage_folder
from distrain.track.describe import run_params
from distrain.track.lineage import environment_facts, installed, own_hashes
from distrain.track.lineage_folder import sha256
from distrain.track.model_versions import download_model
from distrain.track.origin import LINEAGE_TAG
from distrain.track.packaged import find_packaged, held_weights_sha256
from distrain.track.recorded import RecordedRun
from distrain.track.tracking_server import TrackingServer

_DATA_PLACES: Final = ("data.source", "data.test_source", "data.cache.")

# What an altered file of the lineage is a part of, and whether a run can be made again without it.
_FILES: Final[Mapping[str, tuple[Part, bool]]] = {
    lineage_folder.LOCK: ("libraries", False),
    lineage_folder.MACHINE: ("machine", False),
    lineage_folder.CODE: ("code", True),
    lineage_folder.DIFF: ("code", False),
    lineage_folder.DATA: ("data", True),
}


def of_registered(recorded: RecordedRun, server: TrackingServer, folder: Path) -> list[Difference]:
    """Return whether the registry hands out other weights than the version's tags name.

    Args:
        recorded: the version's run; where the run itself was named, nothing is registered.
        server: the registry.
        folder: takes the version's files.

    Raises:
        TrackingError: they cannot be had.
    """
    if recorded.version is None:
        return []
    (files := folder / "registered").mkdir()
    packaged = find_packaged(download_model(server, recorded.version, files))
    was = recorded.weights_sha256
    try:
        now = None if packaged is None else held_weights_sha256(packaged)
    except ModelError:
        now = "damaged"
    if was == now:
        return []
    return [Difference("training", "registered weights", was, now, is_decisive=True)]


def of_records(recorded: RecordedRun) -> list[Difference]:
    """Return what was altered in a run's lineage: keys of its configuration, and other files.

    Args:
        recorded: the run.
    """
    index = (recorded.lineage / lineage_folder.INDEX).read_bytes()
    known = recorded.tags.get(LINEAGE_TAG, sha256(index))
    if sha256(index) != known:
        what = f"lineage/{lineage_folder.INDEX}"
        return [Difference("configuration", what, known, sha256(index), is_decisive=True)]
    hashes: Mapping[str, str] = json.loads(index)["files"]
    return [
        *_of_configuration(recorded, hashes[lineage_folder.CONFIG]),
        *_altered(recorded.lineage, hashes),
    ]


def of_surroundings(
    recorded: RecordedRun, machine: Mapping[str, Any], folders: Sequence[Path]
) -> list[Difference]:
    """Return what differs of libraries, machine and code; altered files are passed over.

    Args:
        recorded: the run.
        machine: what it would be made on now, see `lineage.machine`.
        folders: where the user's own code may lie now.
    """
    broken = {difference.what.rpartition("/")[2] for difference in of_records(recorded)}
    found: list[Difference] = []
    if not broken & {lineage_folder.LOCK, lineage_folder.MACHINE, lineage_folder.INDEX}:
        was = read_kept(recorded, lineage_folder.MACHINE)
        found += differing.of_libraries(
            {"python": was["python"], **lineage_folder.read_lock(recorded.lineage)},
            {"python": environment_facts()["python"], **installed()},
        )
        found += differing.of_machine(was, machine)
    if not broken & {lineage_folder.CODE, lineage_folder.INDEX}:
        found += _of_code(recorded, folders) + _of_attempts(recorded.lineage)
    return found


def of_source_files(data: DataSettings, recorded: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """Return the source files whose content is not what it was; all of them are read.

    Args:
        data: the configuration, `${VAR}` filled in.
        recorded: the files that the data was prepared from, in order.

    Raises:
        DataError: there is nothing at the place.
    """
    if data.dataset is not None:
        return []  # it is code, which is compared as such
    sources = [source_of(data), *([data.test_source] if data.test_source is not None else [])]
    now = [entry for source in sources for entry in _hashed(source, data)]
    return differing.of_sources(recorded, now)


def of_rows(digest: str, settings: Settings, now: PreparedDataset) -> list[Difference]:
    """Return the rows that differ, where the data as it was is still prepared on this machine.

    Args:
        digest: of the data as it was.
        settings: where prepared data lies.
        now: the data as it is.
    """
    cache = cache_of(settings)
    if not isinstance(cache, Path):
        return []
    try:
        was = PreparedDataset.open(cache / digest)
    except DataError:  # it was removed; the shards' hashes still tell which of them differ
        return []
    return [
        difference
        for split in SPLITS
        for difference in differing.of_rows(
            split, changed_rows(was, now, split).tolist(), now.split(split).num_rows
        )
    ]


def settings_of(
    recorded: RecordedRun, overrides: Sequence[str], storage: Path
) -> tuple[Settings, Settings]:
    """Return the settings that a run was made by, and those to make it again by.

    Args:
        recorded: the run.
        overrides: `section.key=value`.
        storage: where it is made again, if its own folder is not at hand; it may be a URI.

    Raises:
        ConfigError: an override would make it another run.
    """
    config = recorded.lineage / lineage_folder.CONFIG
    placed = [f"storage={json.dumps(_storage_for(recorded, storage))}"]
    # Where the data lay is nothing to compare, and may be a variable that is not set here.
    moved = [word for word in overrides if word.startswith(_DATA_PLACES)]
    stored = load_settings([config], [*placed, *moved])
    wanted = load_settings([config], [*placed, *with_counterparts(overrides)])
    longer = [key for key in changed_keys(stored, wanted) if key in LENGTHS]
    if longer:
        raise ConfigError(
            f"{', '.join(longer)} says how long the run is, which is a part of what is made again",
            where="command line",
            expected="workers, resources, cluster, checkpoints, tracking, or where data lies now",
            mend="Leave it out",
        )
    return stored, wanted


def _storage_for(recorded: RecordedRun, storage: Path) -> str:
    """Return where a run is made again: beside its own folder, where that is at hand."""
    link = None if recorded.run_dir is None else link_of(recorded.run_dir)
    if link is not None:
        return link.storage.uri
    folder = storage if recorded.run_dir is None else recorded.run_dir.parent.parent
    return remote_text(folder) or str(folder.absolute())


def own_folders(recorded: RecordedRun) -> list[Path]:
    """Return where the user's own code may lie now: where it was, and right here."""
    known: Sequence[str] = []
    if recorded.run_dir is not None:
        with suppress(ConfigError):
            known = Started.load(recorded.run_dir).import_paths
    return list(dict.fromkeys([*map(Path, known), Path.cwd()]))


def read_kept(recorded: RecordedRun, name: str) -> Any:
    """Return what a file of a run's lineage holds."""
    path = recorded.lineage / name
    try:
        return read_json(path)
    except (OSError, ValueError) as fault:
        raise ConfigError(
            f"what the run was made from cannot be read ({first_line(fault)})",
            where=str(path),
            expected="the file that was kept with the run",
            mend="Put it back as it was, or name the run's own folder",
        ) from fault


def _altered(folder: Path, hashes: Mapping[str, str]) -> Iterator[Difference]:
    """Yield the files of a lineage, but for the configuration, that are not as they were kept."""
    for name, (part, is_decisive) in _FILES.items():
        if name not in hashes:
            continue
        path = folder / name
        now = sha256(path.read_bytes()) if path.is_file() else None
        if now != hashes[name]:
            yield Difference(part, f"lineage/{name}", hashes[name], now, is_decisive)


def _of_configuration(recorded: RecordedRun, sha: str) -> list[Difference]:
    """Return the keys that were altered in the lineage's configuration, or in its copy."""
    path = recorded.lineage / lineage_folder.CONFIG
    own = path.read_bytes() if path.is_file() else b""
    copy = recorded.config_copy.read_bytes() if recorded.config_copy else own
    is_whole = sha256(own) == sha
    if is_whole and copy == own:
        return []
    if recorded.config_copy is not None and (is_whole or sha256(copy) == sha):
        good, bad = (path, recorded.config_copy) if is_whole else (recorded.config_copy, path)
        found = differing.of_configuration(_values(good), _values(bad))
    else:
        found = _of_params(path, recorded.params)
    file = f"file {lineage_folder.CONFIG}"
    now = sha256(copy if is_whole else own)
    return found or [Difference("configuration", file, sha, now, is_decisive=True)]


def _of_params(path: Path, params: Mapping[str, str]) -> list[Difference]:
    """Return the keys of a configuration that are not what the recorded parameters say."""
    try:
        now = run_params(resolved_dict(load_settings([path])))
    except ConfigError as fault:
        return [Difference("configuration", str(path), "valid", fault.message, is_decisive=True)]
    return differing.between("configuration", params, now, is_decisive=True)


def _values(path: Path) -> Any:
    return read_tree(path, str(path), 0)[0].values


def _of_code(recorded: RecordedRun, folders: Sequence[Path]) -> list[Difference]:
    """Return the files of distrain's own code and the user's that differ."""
    code = read_kept(recorded, lineage_folder.CODE)
    own, users = code["distrain"], code["user"]["files"]
    kept = recorded.lineage / lineage_folder.USER_CODE
    return [
        *differing.between(
            "code",
            {"distrain": str(own["version"])},
            {"distrain": str(environment_facts().get("distrain"))},
        ),
        *differing.of_files("distrain", own["files"], own_hashes()),
        *differing.of_files("the kept copy", users, _hashes(users, [kept]), is_decisive=True),
        *(
            Difference("code", f"{name}, too large to be kept", f"{size:,} bytes", None)
            for name, size in code["user"]["left_out"].items()
        ),
        # What is nowhere here is not another; the kept copy is what is trained with.
        *differing.of_files("your own code", users, {**users, **_hashes(users, folders)}),
    ]


def _of_attempts(lineage: Path) -> list[Difference]:
    """Return the files of code that an earlier attempt of the same run had otherwise."""
    last, *earlier = (
        json.loads(path.read_text(encoding="utf-8"))
        for path in [
            lineage / lineage_folder.CODE,
            *sorted((lineage / lineage_folder.EARLIER).glob(f"*/{lineage_folder.CODE}")),
        ]
    )
    found = {
        difference.what: replace(difference, what=f"{difference.what}, changed within the run")
        for before in earlier
        for whose in ("distrain", "user")
        for difference in differing.of_files(whose, before[whose]["files"], last[whose]["files"])
    }
    return list(found.values())


def _hashes(names: Sequence[str] | Mapping[str, str], folders: Sequence[Path]) -> dict[str, str]:
    """Return the SHA-256 of files, each from the first folder that has it."""
    found = {}
    for name in filter(is_inner_name, names):
        path = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if path is not None:
            found[name] = sha256(path.read_bytes())
    return found


def _hashed(source: Source, data: DataSettings) -> list[tuple[str, tuple[str, ...]]]:
    """Return the files of a source with the hashes that their content may be named by."""
    try:
        listing = list_source(source, data.format)
        hashes = list(
            content_hashes(listing, data.read.encoding, is_by_line=data.read.example == "line")
        )
    except DataError as fault:
        where = "If it lies elsewhere now, say so: data.source=PATH (or data.test_source=PATH)"
        raise DataError(
            fault.message, where=fault.where, expected=fault.expected, mend=f"{fault.mend} {where}"
        ) from fault
    uris = (without_credentials(file.uri) for file in listing.files)
    return list(zip(uris, hashes, strict=True))
