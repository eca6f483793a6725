"""A user's job as it is put under faults: checked, small, and in places of its own."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from distrain.config.load import load_settings
from distrain.config.settings import Settings
from distrain.errors import ConfigError, did_you_mean
from distrain.jobs.chaos.faults import NAMES
from distrain.jobs.chaos.small import secret_overrides, small_overrides
from distrain.ray_session import wanted_address

# What leads to a cluster or a server of others.
_OTHERS = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "MLFLOW_TRACKING_", "MLFLOW_REGISTRY_URI")


@final
@dataclass(frozen=True)
class Job:
    """What the user asks for.

    Attributes:
        files: configuration files.
        overrides: of the command line.
        settings: of both, resolved.
        secrets: overrides that stand for secrets, which are handed on as variables.
        variables: those variables.
    """

    files: Sequence[str]
    overrides: Sequence[str]
    settings: Settings
    secrets: Sequence[str] = field(default=(), repr=False)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, files: Sequence[str], overrides: Sequence[str]) -> "Job":
        """Return the job of configuration files and overrides.

        Raises:
            ConfigError: it is at fault, or names a cluster.
        """
        settings = load_settings(files, overrides)
        check_no_address(settings)
        return cls(files, overrides, settings, *secret_overrides(settings))

    def words(self, small: Sequence[str], places: Sequence[str]) -> list[str]:
        """Return the words of the command that trains it, made small and in other places."""
        return ["train", *self.files, *self.overrides, *small, *self.secrets, *places]

    def check_small(self, steps: int) -> None:
        """Check that the job can be made as small as that.

        Raises:
            ConfigError: what is overridden does not go with the rest.
        """
        load_settings(self.files, [*self.overrides, *small_overrides(self.settings, steps)])

    def environment(self, folder: Path) -> dict[str, str]:
        """Return the variables of its commands: none leads to a cluster or a server of others.

        Args:
            folder: takes temporary files.
        """
        own = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
        return {**own, **self.variables, "TMPDIR": str(folder)}


def check_no_address(settings: Settings) -> None:
    """Refuse the address of a Ray cluster, whoever gave it.

    Raises:
        ConfigError: there is one.
    """
    address = wanted_address(settings.cluster.address)
    if address == "local":
        return
    is_variable = settings.cluster.address is None
    raise ConfigError(
        "faults are put into a private Ray alone, never into a cluster that others may use",
        where=f"{'RAY_ADDRESS' if is_variable else 'cluster.address'} = {address}",
        expected="no address",
        mend="Unset RAY_ADDRESS" if is_variable else "Leave it out, or add cluster.address=local",
    )


def names_of(text: str | None) -> list[str]:
    """Return the faults that a list with commas names, in the order of the table.

    Args:
        text: such as `worker,node`; None: all.

    Raises:
        ConfigError: there is no such fault.
    """
    asked = list(NAMES) if text is None else [name.strip() for name in text.split(",")]
    for name in asked:
        if name not in NAMES:
            raise ConfigError(
                f"there is no fault {name!r}",
                where="--faults",
                expected="names with commas between them",
                mend=did_you_mean(name, NAMES),
            )
    return [name for name in NAMES if name in asked]
