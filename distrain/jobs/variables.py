"""Which environment variables go along with a job: those that are named, and no secret.

Ray writes what a job is started with into its logs and shows it on its dashboard. So what goes
along is what the configuration names as `${VAR}`, MLFLOW_TRACKING_URI, and what was asked for;
a secret has to be set on the cluster's nodes.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from distrain.config.digest import resolved_dict
from distrain.config.environment import ACCOUNT, OF_ACCOUNT, variables_in
from distrain.config.settings import Settings
from distrain.errors import ConfigError
from distrain.redaction import MASK, redacted, without_password
from distrain.secret_names import names_secret

TRACKING: Final = "MLFLOW_TRACKING_URI"
_OF_TRACKING: Final = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)


@final
@dataclass(frozen=True)
class Variables:
    """What of the environment goes along.

    Attributes:
        sent: name to value.
        kept_back: names of those that the job may look for, and that are not sent.
    """

    sent: Mapping[str, str]
    kept_back: Sequence[str]


def variables_for(settings: Settings | None, asked: Sequence[str]) -> Variables:
    """Return which variables of this environment go along.

    Args:
        settings: what the job does; None: not known here.
        asked: names that the user asks for.

    Raises:
        ConfigError: one that was asked for is not set, or holds a secret.
    """
    used = variables_in(resolved_dict(settings)) if settings is not None else set()
    wanted = used | set(asked)
    if settings is None or settings.track.uri is None:
        wanted |= {TRACKING}
    found = {name: os.environ[name] for name in sorted(wanted) if name in os.environ}
    secret = {name for name, value in found.items() if _is_secret(name, value)}
    for name in asked:
        if name not in found:
            raise ConfigError(
                f"the environment has no variable {name}",
                where=f"--env {name}",
                expected="variables that are set here",
                mend=f"Set it, or leave --env {name} out",
            )
        if name in secret:
            raise _refused(name, f"--env {name}")
    if TRACKING in secret:
        raise _refused(TRACKING, TRACKING)
    own = {name for name in (*ACCOUNT, *_OF_TRACKING) if name in os.environ}
    named = set(account_of(settings)) if settings is not None else set()
    return Variables(
        sent={name: value for name, value in found.items() if name not in secret},
        kept_back=sorted(secret | (own - set(found) - named)),
    )


def account_of(settings: Settings) -> dict[str, str]:
    """Return the variables of an account at a cloud that `cluster.env` has, as they are written.

    They go along with the job's files, which no secret that is written out ever does.

    Args:
        settings: what the job does.
    """
    env = settings.cluster.env
    # One that a stored run has masked is asked for where the run goes on.
    named = {name: text for name, text in env.items() if name.startswith(OF_ACCOUNT)}
    return {name: text for name, text in named.items() if text != MASK}


def _is_secret(name: str, value: str) -> bool:
    return names_secret(name) or without_password(value) != value or redacted(value) != value


def _refused(name: str, where: str) -> ConfigError:
    return ConfigError(
        f"{name} holds a secret, and Ray writes what a job is started with into its logs",
        where=where,
        expected="variables without secrets",
        mend="Set it on the cluster's nodes, as their containers or services have it"
        + (
            "; the user and the password of a server go into MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD there"
            if name == TRACKING
            else ""
        ),
    )
