from distrain.track.trials import AUDITS_FROM, SentTrial, ranked

TRIALS = {
    0: SentTrial(outcome="finished", score=0.5),
    1: SentTrial(outcome="finished", score=0.75),
    2: SentTrial(outcome="stopped"),
    3: SentTrial(outcome="finished", score=0.75),
    AUDITS_FROM + 2: SentTrial(outcome="finished", score=0.9),
}


def test_trials_that_came_to_their_end_have_ranks_and_of_equals_the_lower_number_wins() -> None:
    assert ranked(TRIALS, is_greater_better=True) == [1, 3, 0]
    assert ranked(TRIALS, is_greater_better=False) == [0, 1, 3]


def test_what_won_is_first_whatever_its_own_score() -> None:
    trials = {**TRIALS, 0: SentTrial(outcome="finished", score=0.5, has_won=True)}

    assert ranked(trials, is_greater_better=True) == [0, 1, 3]
