"""What a job is told beside its command line: where it was submitted, and what came with it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, final

from distrain.errors import ConfigError

FILE: Final = "ticket.json"


@final
@dataclass(frozen=True)
class Ticket:
    """What a job is told.

    Attributes:
        job_id: by which the job finds the run again that it has begun.
        code_sha256: of distrain's own sources, as they were packed.
        standing: where the user stands (`track.standing`), as plain values.
        words: the user's own words, for the record.
        storage: below which a run of this submission is begun, which may hold `${VAR}`; empty: the
            command begins none.
        name: of the run's experiment.
        uploads: folder in the archive to the place on the storage that its files are kept in.
        account: variables of an account at a cloud that `cluster.env` has, as they are written: the
            driver needs what its workers get.
    """

    job_id: str
    code_sha256: str
    standing: Mapping[str, Any]
    words: list[str]
    storage: str = ""
    name: str = ""
    uploads: Mapping[str, str] = field(default_factory=dict)
    account: Mapping[str, str] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def read(cls, folder: Path) -> "Ticket":
        """Return the ticket in a folder.

        Raises:
            ConfigError: there is none.
        """
        try:
            return cls(**json.loads((folder / FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"there is no ticket of a job ({error})",
                where=str(folder / FILE),
                expected="a folder that `distrain submit` has sent",
                mend="Submit the command: distrain submit train run.yaml",
            ) from error
