"""Where a URI points: a bucket of S3, or of a store that speaks its language, and a prefix in it.

Nothing is imported, and nobody asked, to tell it.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self, final
from urllib.parse import parse_qsl, urlsplit

from distrain.errors import ConfigError

_URI: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/(/?)(.*)", re.DOTALL)
_OPTIONS: Final = ("endpoint_override", "region", "scheme")


@final
@dataclass(frozen=True)
class Place:
    """A prefix within a bucket.

    Attributes:
        bucket: its name.
        prefix: without a slash at its ends.
        query: what stands behind the `?` of the URI, as it was written; no secrets.
    """

    bucket: str
    prefix: str
    query: str = ""

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Return the place that a URI names.

        Args:
            uri: `s3://bucket/prefix`, with `?endpoint_override=HOST:PORT&scheme=http&region=NAME`
                where it is not Amazon's, as pyarrow takes it.

        Raises:
            ConfigError: it is of another kind of store, or not well formed.
        """
        parts = urlsplit(uri)
        if parts.scheme != "s3":
            raise _unfit(
                uri,
                f"{parts.scheme}:// knows no way to take a name only once",
                "s3://bucket/prefix: S3, MinIO, R2 and others write an object only where there is "
                "none (If-None-Match), and that keeps a run to one driver",
            )
        if "@" in parts.netloc or not parts.netloc:
            raise _unfit(uri, "it names no bucket, or a key beside it", "s3://bucket/prefix")
        unknown = sorted({name for name, _ in parse_qsl(parts.query)} - set(_OPTIONS))
        if unknown:
            expected = f"of options {', '.join(_OPTIONS)}; keys come from the environment"
            raise _unfit(uri, f"it has the options {', '.join(unknown)}", expected)
        return cls(parts.netloc, parts.path.strip("/"), parts.query)

    @property
    def uri(self) -> str:
        """Return the URI."""
        return f"s3://{self.bucket}/{self.prefix}" + (f"?{self.query}" if self.query else "")

    @property
    def endpoint(self) -> str | None:
        """Return the address of the store; None: as the environment says, else Amazon's."""
        options = dict(parse_qsl(self.query))
        host = options.get("endpoint_override")
        if host is None or "://" in host:
            return host
        return f"{options.get('scheme', 'https')}://{host}"

    @property
    def region(self) -> str | None:
        """Return the region; None: as the environment says."""
        return dict(parse_qsl(self.query)).get("region")

    @property
    def parent(self) -> "Place":
        """Return the place above it."""
        return replace(self, prefix=self.prefix.rpartition("/")[0])

    @property
    def name(self) -> str:
        """Return the last part of the prefix."""
        return self.prefix.rpartition("/")[2]

    def below(self, name: str) -> "Place":
        """Return the place of a name below it, which may have several parts."""
        return replace(self, prefix=f"{self.prefix}/{name}".strip("/"))

    def key(self, name: str) -> str:
        """Return the key of an object below it."""
        return f"{self.prefix}/{name}".lstrip("/")


def remote_text(path: Path | str) -> str | None:
    """Return the URI that a path was made of, None where it is none.

    `pathlib` makes one slash of the two that follow a URI's scheme.

    Args:
        path: such as the value of `--storage`.
    """
    found = _URI.fullmatch(str(path))
    # MLflow names registered models by `models:/`.
    if found is None or found[1] in ("file", "models") or len(found[1]) == 1:
        return None
    return f"{found[1]}://{found[3]}"


def _unfit(uri: str, message: str, expected: str) -> ConfigError:
    return ConfigError(
        message,
        where=f"storage = {uri}",
        expected=expected,
        mend="Name such a place, or a folder: storage=PATH",
    )
