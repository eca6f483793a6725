"""What works where the user stands and cannot work on a cluster, told before anything is sent.

In: valid settings, the same as they are written, and whether the cluster is this very machine. Out:
nothing, or one error that tells all faults, each with the place where it was written.
"""

import os
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from distrain.config.data import IdxSource, Source
from distrain.config.environment import expand_env, masked
from distrain.config.faults import Fault, raise_faults
from distrain.config.names import BUILT_IN_PREFIX, is_remote, is_uri
from distrain.config.settings import Settings
from distrain.config.source_lines import Tree
from distrain.jobs.variables import TRACKING
from distrain.locations import store_at
from distrain.loopback import is_loopback
from distrain.redaction import without_password

_GLOB_CHARACTERS = frozenset("*?[")
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")


def refuse_unfit(settings: Settings, written: Tree, *, is_here: bool, is_data_there: bool) -> None:
    """Refuse what a job could not work with.

    Args:
        settings: what the job does.
        written: the same as it is written.
        is_here: whether the cluster is this very machine, and nothing else.
        is_data_there: whether local data goes along, or lies at the same path on the cluster.

    Raises:
        ConfigError: something is unfit; its text has one line for each fault.
    """
    faults = [*_storage_faults(written), *_secret_faults(settings)]
    if not is_here:
        faults += [*_store_faults(settings), *_tracking_faults(settings)]
        faults += [] if is_data_there else _data_faults(settings)
    if faults:
        raise_faults(replace(fault, place=written.place_of(*fault.keys)) for fault in faults)


def is_local(name: str) -> bool:
    """Return whether a source, variables filled in, is a path and no URI or built-in."""
    return not is_remote(name) and not name.startswith(BUILT_IN_PREFIX)


def _storage_faults(written: Tree) -> Iterator[Fault]:
    text = written.values.get("storage")
    expanded = expand_env(text) if isinstance(text, str) else "./runs"
    if is_uri(expanded) or Path(expanded).expanduser().is_absolute():
        return
    told = f"storage = {text!r} is relative" if text is not None else "storage is not given"
    yield Fault(
        f"{told}, and a job has a working directory of its own: nobody would find the run again",
        (("storage",),),
        expected="an absolute path that every node of the cluster sees, or s3://bucket/prefix",
        mend=f"For example storage={Path(expanded).absolute()}, where this machine's folders are "
        "the cluster's; else a shared folder, such as storage=/mnt/shared/runs",
    )


def _store_faults(settings: Settings) -> Iterator[Fault]:
    """Yield the addresses of an object store that lead to another machine there than here."""
    place = store_at(settings)
    if place is None:
        return
    env = settings.cluster.env
    named = {
        "storage": place.endpoint,
        **{f"cluster.env.{name}": expand_env(env[name]) for name in _ENDPOINTS if name in env},
    }
    for key, address in named.items():
        text = address or ""
        host = urllib.parse.urlsplit(text if "//" in text else f"//{text}").hostname
        if host is not None and is_loopback(host):
            yield Fault(
                f"{key} leads to {address}, which is this machine's own address, and the cluster "
                "is elsewhere",
                (tuple(key.split(".")),),
                expected="an address that the cluster reaches",
                mend="Name the store by its host, such as minio.example:9000",
            )


def _secret_faults(settings: Settings) -> Iterator[Fault]:
    env = settings.cluster.env
    for name, value in masked(env).items():
        if value != env[name]:
            yield Fault(
                f"cluster.env.{name} holds a secret that is written out, and would lie on the "
                "cluster with the job's files",
                (("cluster", "env", name),),
                expected="${VAR} in its place",
                mend=f"Write ${{{name}}}, and set the variable on the cluster's nodes",
            )


def _tracking_faults(settings: Settings) -> Iterator[Fault]:
    configured = settings.track.uri
    uri = expand_env(configured) if configured else os.environ.get(TRACKING, "")
    host = urllib.parse.urlsplit(uri).hostname if is_uri(uri) else None
    if host is None or not is_loopback(host):
        return
    origin = "track.uri" if configured else TRACKING
    yield Fault(
        f"{origin} = {without_password(uri)} is this machine's own address, and the cluster is "
        "elsewhere",
        (("track", "uri"),),
        expected="an address that the cluster reaches",
        mend="Name the tracking server by its host: track.uri=http://HOST:5000",
    )


def _data_faults(settings: Settings) -> Iterator[Fault]:
    sources = {"source": settings.data.source, "test_source": settings.data.test_source}
    for key, source in sources.items():
        names = [] if source is None else _names_of(source)
        here = [name for name in names if is_local(name) and _is_seen(name)]
        if here:
            more = f" and {len(here) - 1} more" if len(here) > 1 else ""
            yield Fault(
                f"data.{key} names {here[0]}{more} on this machine, and the cluster is elsewhere",
                (("data", key),),
                expected="data that the cluster sees",
                mend="Send it along with --upload-data, or name it by a URI such as s3://...; "
                "where the cluster has it at the same path, say --no-upload-data",
            )


def _names_of(source: Source) -> list[str]:
    if isinstance(source, IdxSource):
        names = [source.idx.images, source.idx.labels]
    else:
        names = [source] if isinstance(source, str) else source
    return [expand_env(name) for name in names]


def _is_seen(name: str) -> bool:
    path = name.removeprefix("file://")
    return bool(_GLOB_CHARACTERS & set(path)) or os.path.lexists(path)
