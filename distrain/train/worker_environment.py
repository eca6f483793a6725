"""What workers have in their environment, parted in two: told to Ray, or set by themselves.

Ray writes the environment that it starts a worker with into its logs, and shows it in its
dashboard. What holds a secret travels with the training function instead, and is set before
anything else runs; what a process reads when it starts, such as LD_LIBRARY_PATH, cannot come so.
The variables that `model.args` uses travel with it too, and so does the driver's account at a
cloud, unless `cluster.env` has another: nodes need not have them.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from distrain.config.environment import expanded, of_account, variables_in, without_secrets
from distrain.redaction import redacted
from distrain.secret_names import names_secret


def part_environment(
    env: Mapping[str, str], model_args: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return what Ray starts the workers with, and what they set themselves; variables filled in.

    Args:
        env: the section `cluster.env`.
        model_args: the section `model.args`; empty where there is none.

    Raises:
        ConfigError: a variable without default is not set.
    """
    filled: dict[str, str] = expanded(env)
    own = {
        name: text for name, text in filled.items() if names_secret(name) or redacted(text) != text
    }
    used = {name: os.environ[name] for name in variables_in(model_args) if name in os.environ}
    told = {name: text for name, text in filled.items() if name not in own}
    account = {name: text for name, text in of_account().items() if name not in told}
    return told, {**account, **used, **own}


def args_digest(model_args: Mapping[str, Any], env: Mapping[str, str]) -> str | None:
    """Return a SHA-256 (hex) of `model.args` as it is filled in; None: it has no variables.

    A configuration is kept, and has its digest, with variables as they are written. Likely secrets
    are not in this one either.

    Args:
        model_args: the section `model.args`; empty where there is none.
        env: the section `cluster.env`.

    Raises:
        ConfigError: a variable without default is not set.
    """
    if not variables_in(model_args):
        return None
    told, own = part_environment(env, model_args)
    filled = without_secrets(model_args, {**told, **os.environ, **own})
    return hashlib.sha256(json.dumps(filled, sort_keys=True).encode()).hexdigest()
