"""What is done to the links between hosts."""

import random
import time

from distrain.jobs.chaos.undertaking import Beats, Undertaking, step_of
from tests.chaos.hosts import Hosts

FAR = 1
BLINK_S = 1.0


def blink(run: Undertaking, hosts: Hosts, _chance: random.Random) -> None:
    """Cut a link, and heal it before anybody is missed: the same workers go on."""
    before = run.wait_for_step(0)

    def fault(_beats: Beats) -> None:
        hosts.cut(FAR)
        time.sleep(BLINK_S)
        hosts.heal(FAR)

    run.endure("link cut for a second", fault)
    after = run.wait_for_step(step_of(before) + 2)
    same = [beat.process for beat in before.values()] == [beat.process for beat in after.values()]
    assert same, "a link that was away for a second costs no workers"


def cut(run: Undertaking, hosts: Hosts, _chance: random.Random) -> None:
    """Cut a link for so long that the host behind it is given up."""
    run.inject("link cut", lambda _beats: hosts.cut(FAR))
    assert hosts.processes_on(FAR), "nobody has ended what ran beyond the cut"


def heal(run: Undertaking, hosts: Hosts, _chance: random.Random) -> None:
    """Heal the link, upon which Ray there ends; start it again, as a cluster's operator does."""
    hosts.heal(FAR)

    def start_again(_beats: object) -> None:
        hosts.end_node(FAR)
        hosts.start_node(FAR)

    run.inject("link healed", start_again)
