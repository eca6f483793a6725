"""Looks at test rows: how often versions of a model were compared on the same ones.

The more often rows are looked at, the stricter the gate has to be, so each look takes a number of
its own, and with it its part of the level (`evaluate/gate.py`). The registered model keeps each as
a tag `distrain.look.<rows>.<number>`. It is taken before the versions are compared, by one at a
time, so that two who compare at once do not share a number; whoever is killed meanwhile has looked
all the same. The same version against the same holder is the same look, however often: the outcome
is the same too.
"""

import json
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from distrain.errors import TrackingError
from distrain.track.aliases import HOLDER_TAG, NOBODY, TEST_TAG, numbered_tags
from distrain.track.claims import CLAIM_S, PAUSE_S, alone
from distrain.track.sending import KEY_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOOK: Final = "distrain.look."
LOOK_CLAIM: Final = "distrain.look-claim."
_DIGITS: Final = 16
_MAX_VERSIONS: Final = 10_000


@final
@dataclass(frozen=True)
class Look:
    """One comparison of two versions on some test rows.

    Attributes:
        test_sha256: names the rows, see `contest.digest_of_test_rows`.
        key: of the version that is measured.
        holder: the version that it is compared with.
    """

    test_sha256: str
    key: str
    holder: str

    def to_text(self) -> str:
        """Return what its tag says."""
        return json.dumps({"key": self.key, "holder": self.holder}, ensure_ascii=False)


def take_look(client: "MlflowClient", name: str, look: Look) -> int:
    """Return a look's number, that no other look at the rows has; may be repeated.

    It is at least the number of versions that were measured on them, this one and the holder among
    them, so at least 2.

    Args:
        client: of the registry, its own retries off.
        name: the registered model; it must be there.
        look: what is compared.

    Raises:
        TrackingError: others are at it all the time, or this process was held up in the midst.
    """
    deadline = time.monotonic() + CLAIM_S
    while time.monotonic() < deadline:
        began = time.monotonic()
        with alone(client, name, LOOK_CLAIM) as is_alone:
            if is_alone:
                return _take(client, name, look, began)
        # Of two, the one that gave up leaves the other time to see that it is alone.
        time.sleep(PAUSE_S * random.SystemRandom().uniform(1, 4))
    raise _busy(name)


def _take(client: "MlflowClient", name: str, look: Look, began: float) -> int:
    taken = _looks_at(client, name, look.test_sha256)
    for number, text in taken.items():
        if text == look.to_text():
            return number
    number = max([num_measured(client, name, look), *(earlier + 1 for earlier in taken)])
    if time.monotonic() - began > CLAIM_S / 2:
        raise _busy(name)
    client.set_registered_model_tag(name, f"{_prefix(look.test_sha256)}{number}", look.to_text())
    return number


def num_measured(client: "MlflowClient", name: str, look: Look) -> int:
    """Return how many versions of a model are known to be measured on some test rows.

    Args:
        client: of the registry.
        name: the registered model.
        look: its version and its holder count; they may be there already.
    """
    found = client.search_model_versions(
        f"name = '{name}' AND tags.`{TEST_TAG}` = '{look.test_sha256}'", max_results=_MAX_VERSIONS
    )
    own = {str(version.version) for version in found if version.tags.get(KEY_TAG) == look.key}
    measured = {str(version.version) for version in found}
    # A holder was measured on them too, though it may have been made on others.
    measured |= {version.tags.get(HOLDER_TAG, NOBODY) for version in found}
    return 1 + len((measured | {look.holder}) - own - {NOBODY})


def _looks_at(client: "MlflowClient", name: str, test_sha256: str) -> dict[int, str]:
    """Return what was looked at some rows for, by number."""
    return numbered_tags(client.get_registered_model(name).tags, _prefix(test_sha256))


def _prefix(test_sha256: str) -> str:
    return f"{LOOK}{test_sha256[:_DIGITS]}."


def _busy(name: str) -> TrackingError:
    return TrackingError(
        "other versions of the model are compared all the time, or the registry is slow",
        where=f"registered model {name}",
        expected=f"a turn within {CLAIM_S:g} s",
        mend="Try again",
    )
