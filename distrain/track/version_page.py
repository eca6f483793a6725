"""What a model version's page says of it: its own number, and who gave it an alias, when and why.

MLflow keeps no record of how aliases moved, and its page shows a version's description, not the
tags of the model that distrain keeps the moves in. So each move is a line of the description of who
got the alias, and of who had it. Databases take 5,000 characters of it: what is too much goes.
"""

import logging
from typing import TYPE_CHECKING, Final

from distrain.redaction import redacted
from distrain.track.describe import NEWEST
from distrain.track.sending import is_refusal, sendable

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_LENGTH: Final = 5000
_MAX_WHY: Final = 400
_CUT: Final = "\n\n..."

logger = logging.getLogger(__name__)


def fitting(description: str) -> str:
    """Return a description that every database takes; its end goes where it is too long."""
    text = sendable(description)
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - len(_CUT)] + _CUT


def name_itself(client: "MlflowClient", name: str, version: str) -> None:
    """Put a version's own number into its description, which was written before it had one."""
    description = client.get_model_version(name, version).description or ""
    told = description.replace(f"models:/{name}/{NEWEST}", f"models:/{name}/{version}")
    if told != description:
        client.update_model_version(name, version, fitting(told))


def move_line(alias: str, when: str, who: str, why: str) -> str:
    """Return the line that a version's description has of an alias that it got."""
    reason = redacted(why)[:_MAX_WHY]
    return f"**{alias}** since {when}, given by {who or 'nobody known'}: {reason or 'no reason'}"


def tell_move(client: "MlflowClient", name: str, version: str, line: str) -> None:
    """Add a line to a version's description, once; a store that refuses it is told of.

    Args:
        client: of the registry.
        name: the registered model.
        version: which one.
        line: Markdown.
    """
    from mlflow.exceptions import MlflowException

    try:
        before = (client.get_model_version(name, version).description or "").rstrip()
        if line in before:
            return
        room = MAX_LENGTH - len(line) - len(_CUT) - 2
        kept = before if len(before) <= room else before[:room] + _CUT
        client.update_model_version(name, version, sendable(f"{kept}\n\n{line}".strip()))
    except MlflowException as error:
        if not is_refusal(error) and error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        logger.warning("%s version %s does not tell of its alias: %s", name, version, error)
