"""Which trials wait, run, are paused or have ended."""

from distrain.tune.roster import Roster


def roster_of(num: int) -> Roster:
    roster = Roster()
    for number in range(num):
        roster.add({"x": number})
    return roster


def next_of(roster: Roster) -> int | None:
    trial = roster.next_waiting
    return None if trial is None else trial.number


def test_who_goes_on_waits_behind_the_others() -> None:
    roster = roster_of(2)
    roster.start(0, 1, None)

    roster.wait(roster.trials[0])

    assert next_of(roster) == 1
    assert roster.num_running == 0


def test_who_is_paused_is_not_given_away() -> None:
    roster = roster_of(1)
    roster.start(0, 1, 2)

    roster.pause(roster.trials[0])

    assert next_of(roster) is None
    assert roster.trials[0].state == "paused"


def test_who_ends_while_it_waits_is_not_given_away() -> None:
    roster = roster_of(2)

    roster.end(roster.trials[0], "stopped", {}, None)

    assert next_of(roster) == 1
    assert (roster.outcomes["stopped"], roster.num_running) == (1, 0)


def test_who_is_started_again_without_an_end_runs_once() -> None:
    roster = roster_of(1)
    roster.start(0, 1, 2)
    roster.trials[0].train_s = 5.0

    roster.start(0, 2, 4)

    trial = roster.trials[0]
    assert roster.num_running == 1
    assert (trial.attempt, trial.until, trial.before_s) == (2, 4, 5.0)


def test_who_was_cut_off_waits_in_the_order_of_numbers() -> None:
    roster = roster_of(3)
    roster.start(0, 1, None)
    roster.start(1, 1, None)

    assert roster.cut_off() == {0, 1}

    assert next_of(roster) == 0
    assert roster.num_running == 0
