"""Remote storage made of a local folder, that is slow and fails as it is told to: `flaky://`."""

import io
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.local import LocalFileSystem


class FlakyStorage(LocalFileSystem):
    """A local file system under another name.

    Attributes:
        delay_s: how long opening a file for reading takes.
        faults: by file name, what befalls the next readings of it: an exception, or content that
            is read in place of the file's.
        reads: how often each file was opened for reading.
    """

    protocol = "flaky"
    cachable = False
    delay_s = 0.0
    faults: ClassVar[dict[str, list[Exception | bytes]]] = {}
    reads: ClassVar[Counter[str]] = Counter()

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return super()._strip_protocol(str(path).removeprefix("flaky://"))

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        name = Path(path).name
        if "r" in mode:
            time.sleep(self.delay_s)
            self.reads[name] += 1
            fault = self.faults[name].pop(0) if self.faults.get(name) else None
            if isinstance(fault, Exception):
                raise fault
            if fault is not None:
                return io.BytesIO(fault)
        return super()._open(path, mode=mode, **kwargs)


@contextmanager
def flaky_storage() -> Iterator[type[FlakyStorage]]:
    """Give the storage, without faults, for the length of a test."""
    fsspec.register_implementation("flaky", FlakyStorage, clobber=True)
    FlakyStorage.delay_s, FlakyStorage.faults = 0.0, {}
    FlakyStorage.reads = Counter()
    yield FlakyStorage
    FlakyStorage.delay_s, FlakyStorage.faults = 0.0, {}


def flaky_uri(folder: Path) -> str:
    """Return the URI of a local folder on the flaky storage."""
    return f"fsspec+flaky://{folder}"
