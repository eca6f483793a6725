"""What `model.init_from` names, found and kept: the weights that a run, or all trials, begin with.

In: settings. Out: settings that name the weights by their hash, which are kept below the storage
under that hash. Workers, trials, a resume and a reproduction read them from there: an alias that
moves, or a file that changes, changes no run that has begun.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import safetensors
import safetensors.torch
import torch

from distrain.config.environment import expand_env
from distrain.config.names import is_uri
from distrain.config.paths import WEIGHT_ENDINGS
from distrain.config.settings import Settings
from distrain.data.files import read_remote, write_remote
from distrain.durable import write_atomically
from distrain.errors import DataError, ModelError, first_line
from distrain.locations import initial_weights_of, storage_named
from distrain.models.weights import weights_sha256
from distrain.predict import packaged_folder
from distrain.track.model_registry import registry_of
from distrain.track.model_versions import find_version
from distrain.track.packaged_reading import WEIGHTS, read_weights
from distrain.track.stores import server_of_new_run
from distrain.track.tracking_server import TrackingServer

_WHERE: Final = "model.init_from"
_ENDING: Final = ".safetensors"


def with_initial_weights(settings: Settings) -> Settings:
    """Return the settings with the hash of the weights that they begin with, which are kept.

    Of an alias, the version that has it now takes the place. Where the hash is known and they are
    kept already, nothing is read.

    Args:
        settings: with defaults resolved.

    Raises:
        ConfigError: there is no such model, version, alias or run.
        ModelError: there is no such file, it is no safetensors file, or holds other weights than
            the hash says.
        TrackingError: the registry, or the model's files, cannot be reached.
        DataError: the storage takes them not.
    """
    wanted = settings.model.init_from
    if wanted is None or _is_kept(initial_weights_of(settings)):
        return settings
    source, state = _found(settings, expand_env(wanted.source))
    sha256 = weights_sha256(state)
    if wanted.sha256 not in (None, sha256):
        raise ModelError(
            f"{wanted.source} holds weights with the SHA-256 {sha256[:12]}...",
            where=_WHERE,
            expected=f"{wanted.sha256[:12] if wanted.sha256 else ''}..., as model.init_from.sha256 "
            "has it",
            mend="Put those weights back, or leave sha256 out to begin with what is there",
        )
    update = {"source": source or wanted.source, "sha256": sha256}
    model = settings.model.model_copy(update={"init_from": wanted.model_copy(update=update)})
    named = settings.model_copy(update={"model": model})
    place = initial_weights_of(named)
    if place is not None and not _is_kept(place):
        _keep(place, state)
    return named


def _found(settings: Settings, source: str) -> tuple[str | None, dict[str, torch.Tensor]]:
    """Return the weights that a source names, and the name of what has them for good."""
    if not source.startswith("models:") and Path(source).suffix.lower() in WEIGHT_ENDINGS:
        return None, _in_file(source)
    server = _registry(settings, source)
    version = find_version(server, source) if source.startswith("models:") else None
    lasting = None if version is None else f"models:/{version.name}/{version.version}"
    with tempfile.TemporaryDirectory(prefix="distrain-weights-") as temporary:
        storage = storage_named(settings)
        folder = packaged_folder(lasting or source, server, storage, Path(temporary))
        return lasting, read_weights(folder / WEIGHTS)


def _registry(settings: Settings, source: str) -> TrackingServer:
    if settings.track.uri is not None:
        return server_of_new_run(settings, is_offline=False)
    return registry_of(source, storage_named(settings))


def _in_file(source: str) -> dict[str, torch.Tensor]:
    if Path(source).suffix.lower() != _ENDING:
        name = Path(source).stem + _ENDING
        raise ModelError(
            "a file of this kind may run code of whoever wrote it when it is read",
            where=f"{_WHERE} = {source}",
            expected="a safetensors file, which holds tensors alone",
            mend="Where you trust it, convert it once: "
            f"safetensors.torch.save_file(torch.load({Path(source).name!r}, weights_only=True), "
            f"{name!r})",
        )
    try:
        content = read_remote(source) if is_uri(source) else Path(source).read_bytes()
        return dict(safetensors.torch.load(content))
    except FileNotFoundError as fault:
        raise _unreadable(source, "there is no such file") from fault
    except (OSError, ValueError, safetensors.SafetensorError) as fault:
        raise _unreadable(source, f"it cannot be read ({first_line(fault)})") from fault


def _unreadable(source: str, why: str) -> ModelError:
    return ModelError(
        why,
        where=f"{_WHERE} = {source}",
        expected="a safetensors file of a state dict",
        mend="Write it by safetensors.torch.save_file(model.state_dict(), FILE), and name it by a "
        "path from the configuration's folder",
    )


def _is_kept(place: Path | str | None) -> bool:
    if isinstance(place, str):
        try:
            read_remote(place)
        except OSError:
            return False
        return True
    return place is not None and place.is_file()


def _keep(place: Path | str, state: Mapping[str, torch.Tensor]) -> None:
    content = safetensors.torch.save({name: value.contiguous() for name, value in state.items()})
    if isinstance(place, str):
        write_remote(place, content)
        return
    try:
        write_atomically(place, content)
    except OSError as fault:
        raise DataError(
            f"the weights to begin with cannot be kept ({fault.strerror or fault})",
            where=str(place),
            expected="a storage that takes them",
            mend="Make room there, or name another: storage=PATH",
        ) from fault
