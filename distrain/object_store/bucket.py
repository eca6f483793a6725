"""An object store as it is asked: whole objects, written once or anew, listed, removed.

Every fault is an `OSError`, as a disk's would be, so that who writes a run's state treats a store
that is away like a disk that is: told, and tried again.
"""

import errno
import functools
import importlib
import os
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from distrain.durable import replacing
from distrain.errors import ConfigError, first_line
from distrain.object_store.place import Place

_CONNECT_S: Final = 5
_READ_S: Final = 30
_TRIES: Final = 4
# Whoever keeps a lease, or looks at one, has to know within seconds.
_HURRIED: Final = (2, 4, 2)
_THREADS: Final = 8
_MOST_DELETED: Final = 1000
_ABSENT: Final = ("404", "NoSuchKey", "NotFound")
TAKEN: Final = ("412", "PreconditionFailed")
_UNDECIDED: Final = ("409", "ConditionalRequestConflict")


@final
@dataclass(frozen=True)
class Entry:
    """An object as a listing has it.

    Attributes:
        name: its key below the place that was listed.
        num_bytes: its size.
        etag: another where the content is.
    """

    name: str
    num_bytes: int
    etag: str


@final
class Bucket:
    """The objects below a place; for any number of threads.

    Args:
        place: which.
        is_hurried: whether a request that is not answered at once is given up within seconds.
    """

    def __init__(self, place: Place, *, is_hurried: bool = False) -> None:
        self.place = place
        self._is_hurried = is_hurried

    def get(self, name: str) -> bytes:
        """Return an object's content.

        Raises:
            FileNotFoundError: it is not there.
            OSError: the store cannot tell now.
        """
        with _faults(self, name):
            answer = self.client.get_object(Bucket=self.place.bucket, Key=self.place.key(name))
            content: bytes = answer["Body"].read()
        return content

    def put(self, name: str, content: bytes) -> None:
        """Write a small object, whole or not at all; it is durable then.

        Raises:
            OSError: the store does not take it now; it may be there all the same.
        """
        with _faults(self, name):
            key = self.place.key(name)
            self.client.put_object(Bucket=self.place.bucket, Key=key, Body=content)

    def put_new(self, name: str, content: bytes) -> None:
        """Write a small object where there is none of that name, which exactly one process can.

        Args:
            name: its name.
            content: other than what any other process would write.

        Raises:
            FileExistsError: another has written it.
            OSError: the store does not take it now; it may be there all the same.
        """
        key = self.place.key(name)
        try:
            with _faults(self, name):
                self.client.put_object(
                    Bucket=self.place.bucket, Key=key, Body=content, IfNoneMatch="*"
                )
        except FileExistsError:
            # The answer to a request that was repeated: it was this one that came first.
            if self.get(name) != content:
                raise

    def put_file(self, name: str, path: Path) -> None:
        """Write a file of any size, whole or not at all.

        Raises:
            OSError: the file cannot be read, or the store does not take it now.
        """
        with _faults(self, name):
            self.client.upload_file(str(path), self.place.bucket, self.place.key(name))

    def get_file(self, name: str, path: Path) -> None:
        """Fetch an object of any size into a file, whole or not at all.

        Raises:
            FileNotFoundError: it is not there.
            OSError: the store cannot give it now, or the disk takes no file.
        """
        with replacing(path, syncs_folder=False) as temporary, _faults(self, name):
            self.client.download_file(self.place.bucket, self.place.key(name), str(temporary))

    def copy(self, name: str, source: Place) -> None:
        """Write an object as another of the same store is, whole or not at all, within the store.

        Args:
            name: its name.
            source: where the other lies.

        Raises:
            FileNotFoundError: the other is not there.
            OSError: the store does not take it now.
        """
        with _faults(self, name):
            of = {"Bucket": source.bucket, "Key": source.prefix}
            self.client.copy(of, self.place.bucket, self.place.key(name))

    def get_all(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Give the content of small objects, several at a time, in the order of the names.

        Raises:
            FileNotFoundError: one is not there.
            OSError: the store cannot tell now.
        """
        wanted = list(names)
        with ThreadPoolExecutor(_THREADS) as pool:
            yield from zip(wanted, pool.map(self.get, wanted), strict=True)

    def entries(self, below: str) -> list[Entry]:
        """Return the objects whose names begin with a text, sorted by name.

        Raises:
            OSError: the store cannot tell now.
        """
        prefix = self.place.key(below)
        offset = len(self.place.key(""))
        found: list[Entry] = []
        with _faults(self, below):
            pages = self.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.place.bucket, Prefix=prefix):
                found += [
                    Entry(one["Key"][offset:], one["Size"], one["ETag"])
                    for one in page.get("Contents", ())
                ]
        return sorted(found, key=lambda entry: entry.name)

    def folders(self, below: str = "") -> list[str]:
        """Return the first parts of the names below a name that ends with a slash, sorted.

        Raises:
            OSError: the store cannot tell now.
        """
        prefix = self.place.key(below)
        found: list[str] = []
        with _faults(self, below):
            pages = self.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.place.bucket, Prefix=prefix, Delimiter="/"):
                found += [
                    one["Prefix"][len(prefix) :].strip("/")
                    for one in page.get("CommonPrefixes", ())
                ]
        return sorted(found)

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, in order; what is not there is passed over.

        Raises:
            OSError: the store does not take it now; some of them may be gone.
        """
        keys = [{"Key": self.place.key(name)} for name in names]
        for start in range(0, len(keys), _MOST_DELETED):
            portion = {"Objects": keys[start : start + _MOST_DELETED], "Quiet": True}
            with _faults(self, ""):
                told = self.client.delete_objects(Bucket=self.place.bucket, Delete=portion)
            if told.get("Errors"):
                raise OSError(errno.EIO, f"not removed: {told['Errors'][0]}", self.place.uri)

    @property
    def client(self) -> Any:
        """Return boto3's client of the store.

        Raises:
            ConfigError: it is not installed, or the environment has a profile or an address that
                there is not.
        """
        account = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
        where = f"storage = {self.place.uri}"
        try:
            return _client(self.place.endpoint, self.place.region, self._is_hurried, account)
        except ImportError as fault:
            raise ConfigError(
                "boto3 is not installed",
                where=where,
                expected="what speaks with S3",
                mend="Install it here and on the nodes: pip install 'distrain[s3]'",
            ) from fault
        except (ValueError, _boto_error()) as fault:
            raise ConfigError(
                f"the store's account or address cannot be used ({first_line(fault)})",
                where=where,
                expected="a profile that there is (AWS_PROFILE), and an http(s) address",
                mend="Set AWS_PROFILE and AWS_ENDPOINT_URL to what there is, or unset them",
            ) from fault


def _boto_error() -> Any:
    return importlib.import_module("botocore.exceptions").BotoCoreError


@functools.lru_cache(maxsize=8)
def _client(
    endpoint: str | None,
    region: str | None,
    is_hurried: bool,
    _account: tuple[tuple[str, str], ...],
) -> Any:
    """Return a client, which is safe to use from any thread; to make one takes a while."""
    boto3: Any = importlib.import_module("boto3.session")
    config: Any = importlib.import_module("botocore.config")
    connect_s, read_s, tries = _HURRIED if is_hurried else (_CONNECT_S, _READ_S, _TRIES)
    return boto3.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        config=config.Config(
            connect_timeout=connect_s,
            read_timeout=read_s,
            retries={"mode": "standard", "total_max_attempts": tries},
            max_pool_connections=2 * _THREADS,
        ),
    )


@contextmanager
def temporary_place(place: Place, purpose: str) -> Iterator[Place]:
    """Give a place of its own below another; what lies there is removed afterwards, if it can be.

    Args:
        place: below which.
        purpose: what its name begins with, behind a dot: it is no run's.
    """
    below = place.below(f".{purpose}-{secrets.token_hex(8)}")
    try:
        yield below
    finally:
        own = Bucket(below)
        with suppress(OSError):
            own.remove([entry.name for entry in own.entries("")])


def code_of(fault: Any) -> str:
    """Return what a store calls its refusal: the code of a `ClientError`."""
    return str(fault.response.get("Error", {}).get("Code", ""))


@contextmanager
def _faults(bucket: Bucket, name: str) -> Iterator[None]:
    """Raise an `OSError` for what goes wrong at the store."""
    botocore: Any = importlib.import_module("botocore.exceptions")
    boto3: Any = importlib.import_module("boto3.exceptions")
    where = bucket.place.below(name).uri
    try:
        yield
    except botocore.ClientError as fault:
        code = code_of(fault)
        if code in _ABSENT:
            raise FileNotFoundError(errno.ENOENT, "no such object", where) from fault
        if code in TAKEN:
            raise FileExistsError(errno.EEXIST, "the name is taken", where) from fault
        kind = errno.EAGAIN if code in _UNDECIDED else errno.EIO
        raise OSError(kind, first_line(fault), where) from fault
    except (botocore.BotoCoreError, boto3.Boto3Error) as fault:
        raise OSError(errno.EIO, first_line(fault), where) from fault
