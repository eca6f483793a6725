"""When checkpoints are begun and waited for, on a clock of the test's own."""

from dataclasses import dataclass, field

import pytest

from distrain.train.cadence import Cadence

LIMIT_S = 10.0
STEP_S = 0.125


@dataclass
class Trained:
    """What came of a training whose saves take a given time."""

    num_steps: int = 0
    now: float = 0.0
    holds_s: list[float] = field(default_factory=list)
    num_given_up: int = 0
    saved: list[int] = field(default_factory=list)
    most_steps: int = 0
    most_s: float = 0.0


def trained(writes_s: list[float], every_steps: int | None, every_s: float | None) -> Trained:
    """Train until the last save is there; the clock stands but for steps and waits."""
    made = Trained()
    cadence = Cadence(every_steps, every_s, LIMIT_S, 0, 0.0)
    ends: float | None = None
    safe = 0.0
    begun = (0, 0.0)
    while len(made.saved) < len(writes_s):
        if ends is None and cadence.is_due(made.num_steps + 1, made.now):
            made.num_steps += 1
            made.now += STEP_S
            begun = (made.num_steps, made.now)
            cadence.begin(*begun)
            ends = made.now + writes_s[len(made.saved)]
        else:
            made.num_steps += 1
            made.now += STEP_S
        hold_s = cadence.hold_s(made.num_steps, made.now) if ends is not None else None
        if ends is not None and hold_s is not None and made.now < ends:
            waited = min(hold_s, ends - made.now)
            made.holds_s.append(waited)
            made.now += waited
            if made.now < ends:
                cadence.give_up()
                made.num_given_up += 1
        if ends is not None and made.now >= ends:
            cadence.end(ends)
            made.saved.append(begun[0])
            safe, ends = begun[1], None
        last = made.saved[-1] if made.saved else 0
        made.most_steps = max(made.most_steps, made.num_steps - last)
        made.most_s = max(made.most_s, made.now - safe)
    return made


@pytest.mark.parametrize("write_s", [0.01, 1.0, 4.0])
def test_at_multiples_of_steps_no_more_than_an_interval_is_unsaved(write_s: float) -> None:
    made = trained([write_s] * 5, 10, None)

    assert made.saved == [10, 20, 30, 40, 50]
    assert made.most_steps <= 10
    assert made.num_given_up == 0


@pytest.mark.parametrize("write_s", [0.01, 1.0, 2.4])
def test_by_the_clock_a_save_is_begun_so_early_that_it_is_hardly_waited_for(write_s: float) -> None:
    made = trained([write_s] * 5, None, 5.0)

    assert all(hold_s <= STEP_S for hold_s in made.holds_s)  # it begins late by a step at most
    assert made.num_given_up == 0
    assert made.most_s <= 5.0 + STEP_S


def test_the_first_save_by_the_clock_comes_after_half_an_interval() -> None:
    made = trained([0.5, 0.5], None, 8.0)

    assert [step * STEP_S for step in made.saved] == pytest.approx([4.0, 11.0], abs=2 * STEP_S)


@pytest.mark.parametrize("write_s", [3.0, 5.0, 20.0])
def test_writes_longer_than_half_an_interval_are_not_waited_for_time_and_again(
    write_s: float,
) -> None:
    made = trained([write_s] * 20, None, 5.0)

    assert sum(made.holds_s) <= STEP_S
    assert made.num_given_up == 1


def test_a_save_that_grows_long_is_waited_for_until_half_an_interval_is_over() -> None:
    made = trained([0.5, 0.5, 9.0, 9.0], None, 5.0)

    assert sum(made.holds_s) == pytest.approx(1.5, abs=STEP_S)
    assert made.num_given_up == 1


def test_a_disk_too_slow_for_its_steps_is_waited_for_once_in_a_spell() -> None:
    made = trained([1.0, 20.0, 20.0, 1.0, 1.0, 20.0], 10, None)

    assert made.holds_s == pytest.approx([1.0, LIMIT_S, 1.0, LIMIT_S], abs=STEP_S)
    assert made.num_given_up == 2


def test_a_save_that_never_came_does_not_count_as_one() -> None:
    cadence = Cadence(10, None, LIMIT_S, 0, 0.0)
    cadence.begin(10, 1.0)

    cadence.begin(20, 2.0)

    assert cadence.hold_s(20, 2.0) == LIMIT_S
    cadence.end(2.5)
    cadence.begin(30, 3.0)
    assert cadence.hold_s(29, 3.0) is None
