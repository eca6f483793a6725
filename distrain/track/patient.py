"""An MLflow client that asks again, at once, where an answer was lost.

A link that loses one answer in three leaves hardly an attempt at twenty requests whole. Here each
request is repeated by itself, so that a registration of 25 takes seconds; with the attempt repeated
as a whole it took minutes. What MLflow would make, or add, a second time is never repeated:
whoever calls looks, by key, whether it is there, and calls again.

A server may store a file first, and copy it on to S3 before it answers. With the 20 s of any other
request, a large one would be sent again for ever: an upload's time grows with the file.

Before each request, repeated ones too, it is asked whether this process may still make any: one
that was frozen may thaw when another has taken over. So it makes one more request at most, the one
that was under way, and that has a timeout.
"""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, final

from distrain.track.tracking_server import REQUEST_TIMEOUT_S, TIMEOUT_VARIABLE

if TYPE_CHECKING:
    from mlflow import MlflowClient

NUM_TRIES = 6
FIRST_PAUSE_S = 0.05
SLOW_S = 1.0
UPLOAD_BYTES_PER_S = 1_000_000

_UPLOADS = ("log_artifact", "log_model_artifact")
_NEVER_REPEATED = ("create_", "delete_run", "log_outputs", "restore_")


def patient(client: "MlflowClient", check: Callable[[], None] = lambda: None) -> "MlflowClient":
    """Return a client whose repeatable requests are tried again, some six times in two seconds.

    Not after a request that took long: then it is the server that is away, not an answer.

    Args:
        client: a client whose own retries are off.
        check: asked before each request; what it raises comes in the place of the request.
    """
    return cast("MlflowClient", _PatientClient(client, check))


@final
class _PatientClient:
    def __init__(self, client: "MlflowClient", check: Callable[[], None]) -> None:
        self._client = client
        self._check = check

    def __getattr__(self, name: str) -> Any:
        found = partial(_checked, self._check, getattr(self._client, name))
        if name in _UPLOADS:
            return partial(_insist, partial(_upload, found))
        return found if name.startswith(_NEVER_REPEATED) else partial(_insist, found)


def _checked(
    check: Callable[[], None], request: Callable[..., Any], *args: Any, **options: Any
) -> Any:
    check()
    return request(*args, **options)


def _insist(request: Callable[..., Any], *args: Any, **options: Any) -> Any:
    for number in range(NUM_TRIES - 1):
        started = time.monotonic()
        try:
            return request(*args, **options)
        except Exception as error:  # raised again, unless it says that an answer was lost
            took_s = time.monotonic() - started
            if took_s > SLOW_S or not _is_lost(error):
                raise
        time.sleep(FIRST_PAUSE_S * 2**number)
    return request(*args, **options)


def _upload(request: Callable[..., Any], owner: str, path: str, *args: Any) -> Any:
    """Make a request that sends a file, with a timeout by its size; MLflow takes no other way."""
    allowed_s = REQUEST_TIMEOUT_S + Path(path).stat().st_size // UPLOAD_BYTES_PER_S
    os.environ[TIMEOUT_VARIABLE] = str(allowed_s)
    try:
        return request(owner, path, *args)
    finally:
        os.environ[TIMEOUT_VARIABLE] = str(REQUEST_TIMEOUT_S)


def _is_lost(error: Exception) -> bool:
    """Return whether a request came to nothing on its way, or its answer did."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    if isinstance(error, MlflowException):
        code: int = getattr(error, "get_http_status_code", lambda: 0)()
        return code >= 500
    return isinstance(error, RequestException) and getattr(error, "response", None) is None
