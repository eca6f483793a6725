"""`cluster.env`, parted in two: what Ray may be told, and what workers set themselves.

Ray writes the environment that it starts a worker with into its logs, and shows it in its
dashboard. What holds a secret travels with the training function instead, and is set before
anything else runs; what a process reads when it starts, such as LD_LIBRARY_PATH, cannot come so.
The variables that `model.args` uses travel with it too: nodes need not have them.
"""

import os
from collections.abc import Mapping
from typing import Any

from distrain.config.environment import expanded, variables_in
from distrain.redaction import names_secret, redacted


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
    return told, {**used, **own}
