"""What a model version's page says of it: its own number, and who gave it an alias, when and why.

MLflow keeps no record of how aliases moved, and its page shows a version's description, not the
tags of the model that distrain keeps the moves in. So each move is a line of the description of who
got the alias, and of who had it. Databases take 5,000 characters of it: where that is too little,
what stands before the moves is cut, and of the moves the oldest go.
"""

import logging
import re
from typing import TYPE_CHECKING, Final

from distrain.track.describe import NEWEST
from distrain.track.markdown import plain
from distrain.track.sending import is_refusal, sendable

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_LENGTH: Final = 5000
_MAX_WHY: Final = 400
_CUT: Final = "\n\n..."
_BETWEEN: Final = "\n\n"
_MOVE: Final = re.compile(r"^\*\*.+\*\* (?:since|until) \d{4}-\d\d-\d\dT\S+[,:] ", re.MULTILINE)

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
    reason = plain(why, _MAX_WHY) or "no reason"
    return f"**{plain(alias)}** since {when}, given by {plain(who) or 'nobody known'}: {reason}"


def end_line(alias: str, when: str, holder: str) -> str:
    """Return the line that a version's description has of an alias that another got."""
    return f"**{plain(alias)}** until {when}: {holder} has it"


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
        client.update_model_version(name, version, sendable(_with_line(before, line)))
    except MlflowException as error:
        if not is_refusal(error) and error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        logger.warning("%s version %s does not tell of its alias: %s", name, version, error)


def _with_line(before: str, line: str) -> str:
    """Return a description with another move behind those that it tells of already."""
    first = _MOVE.search(before)
    start = len(before) if first is None else first.start()
    head = before[:start].rstrip()
    lines = [*filter(None, before[start:].split(_BETWEEN)), line]
    while len(lines) > 1 and len(_BETWEEN.join(lines)) > MAX_LENGTH - len(_CUT + _BETWEEN):
        del lines[0]
    moves = _BETWEEN.join(lines)
    room = MAX_LENGTH - len(moves) - len(_BETWEEN)
    if len(head) > room:
        head = head[: max(0, room - len(_CUT))] + _CUT
    return f"{head}{_BETWEEN}{moves}".strip()
