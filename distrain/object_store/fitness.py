"""Whether an object store can keep runs: told in words, before anything is started."""

import importlib
from typing import Any, Final

from distrain.errors import ConfigError, StorageError, first_line
from distrain.object_store.bucket import TAKEN, Bucket, code_of
from distrain.object_store.place import Place

PROBE: Final = ".distrain-probe"
_NO_BUCKET: Final = ("404", "NoSuchBucket")
_REFUSED: Final = ("403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch")


def check_store(place: Place) -> None:
    """Return where a store can keep runs: it takes objects, and a name only once.

    Leaves an empty object below the place.

    Raises:
        ConfigError: there is no such bucket, no account, or names are taken twice.
        StorageError: it cannot be reached.
    """
    client: Any = Bucket(place, is_hurried=True).client
    exceptions: Any = importlib.import_module("botocore.exceptions")
    try:
        is_fit = _takes_once(client, place)
    except exceptions.NoCredentialsError as fault:
        raise _no_account(place, "the environment has no account") from fault
    except exceptions.BotoCoreError as fault:
        raise _unreachable(place, fault) from fault
    except exceptions.ClientError as fault:
        raise _refusal(place, fault) from fault
    if not is_fit:
        raise ConfigError(
            "the store writes an object over another where it is told not to (If-None-Match)",
            where=_where(place),
            expected="a store that takes a name only once: that keeps a run to one driver",
            mend="Use a newer version of the store, or a folder that all nodes see: storage=PATH",
        )


def why_not_asked(place: Place) -> str | None:
    """Return in words why this process cannot ask a store; None: it can, and runs can be kept."""
    try:
        check_store(place)
    except (ConfigError, StorageError) as fault:
        return fault.message
    return None


def _takes_once(client: Any, place: Place) -> bool:
    exceptions: Any = importlib.import_module("botocore.exceptions")
    request = {"Bucket": place.bucket, "Key": place.key(PROBE), "IfNoneMatch": "*"}
    for _ in range(2):
        try:
            client.put_object(**request, Body=b"")
        except exceptions.ClientError as fault:
            if code_of(fault) in TAKEN:
                return True
            raise
    return False


def _refusal(place: Place, fault: Any) -> ConfigError | StorageError:
    code = code_of(fault)
    if code in _NO_BUCKET:
        return ConfigError(
            f"there is no bucket {place.bucket!r}",
            where=_where(place),
            expected="a bucket that is there",
            mend=f"Make it (aws s3 mb s3://{place.bucket}), or name another",
        )
    if code in _REFUSED:
        return _no_account(place, first_line(fault))
    return _unreachable(place, fault)


def _unreachable(place: Place, fault: BaseException) -> StorageError:
    return StorageError(
        f"the store cannot be reached ({first_line(fault)})",
        where=_where(place),
        expected="an object store that answers",
        mend="Check AWS_ENDPOINT_URL, or endpoint_override in the URI, and the network",
    )


def _no_account(place: Place, why: str) -> ConfigError:
    return ConfigError(
        f"the store lets nobody in ({why})",
        where=_where(place),
        expected="an account that may read and write there",
        mend="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    )


def _where(place: Place) -> str:
    return f"storage = {place.uri}"
