"""By how much a winner leads: what is said is true, whoever comes second."""

import math
from dataclasses import replace

import pytest

from distrain.report.search.facts import Search, read_search
from distrain.report.search.margin import Margin, Noise, margin
from distrain.report.search.standings import Entry, leaderboard
from tests.search_folder import make_search


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Search:
    """A search, more is better, of three settings with two seeds each, all of them whole."""
    run_dir, _ = make_search(
        tmp_path_factory.mktemp("search"),
        num_trials=6,
        epochs=2,
        num_seeds=2,
        scheduler={"name": "none"},
    )
    return read_search(run_dir)


@pytest.fixture
def entries(search: Search) -> list[Entry]:
    found = leaderboard(search)
    assert [entry.num_whole for entry in found] == [2, 2, 2]
    return found


def test_a_runner_up_with_a_better_mean_is_said_to_have_it(
    search: Search, entries: list[Entry]
) -> None:
    first, second, third = entries
    better = replace(second, score=first.score + 0.05, num_missing=1)

    found = margin(search, [first, better, third])

    assert found.text == (
        f"Trial {second.first.number} comes next: its mean is better by 0.05, but seeds of it did "
        "not come to their end."
    )


def test_a_runner_up_without_a_number_did_come_to_its_end(
    search: Search, entries: list[Entry]
) -> None:
    first, second, _ = entries

    found = margin(search, [first, replace(second, score=math.nan)])

    assert found.text.startswith(f"Trial {second.first.number} comes next; one of the two values")


def test_noise_is_of_all_seeds_with_their_degrees_of_freedom(
    search: Search, entries: list[Entry]
) -> None:
    told = [replace(entry, std=std) for entry, std in zip(entries, (0.03, 0.04, 0.0), strict=True)]

    found = margin(search, told)

    assert found.noise is not None
    assert found.noise.std == pytest.approx(math.sqrt((0.0009 + 0.0016) / 3))  # two seeds of each
    assert found.noise.degrees == 3
    assert found.num_settings == 3


@pytest.mark.parametrize(
    ("degrees", "beyond"), [(1, 12.706), (2, 4.303), (10, 2.228), (1000, 1.962)]
)
def test_of_few_seeds_a_lead_has_to_be_larger(degrees: int, beyond: float) -> None:
    assert Noise(0.1, degrees, "").beyond == pytest.approx(beyond, abs=1e-3)


@pytest.mark.parametrize(
    ("lead", "degrees", "told"),
    [
        (0.3, 2, "3 times that, so the other may well be as good: about 4.3 times"),
        (0.3, 20, "3 times that, which is more than luck makes between two settings: about 2.1"),
    ],
)
def test_a_lead_is_held_against_the_luck_of_seeds(lead: float, degrees: int, told: str) -> None:
    text = Margin(lead, 5, 24, Noise(0.1, degrees, "3 settings with 2 seeds each")).text

    assert "It leads trial 5 by 0.3. By seeds alone such a difference varies by about ± 0.1" in text
    assert told in text
    assert "the best of 24" in text


def test_of_two_settings_none_is_the_best_of_many() -> None:
    assert "the best of" not in Margin(0.3, 5, 2, Noise(0.1, 2, "2 seeds")).text


def test_without_another_whole_setting_there_is_no_margin() -> None:
    assert Margin(None, None, 1, None).text.startswith("No other setting came to its end")
