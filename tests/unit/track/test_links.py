import pytest

from distrain.track.links import MAX_NOTE_LENGTH, Pages, with_links
from distrain.track.markdown import plain
from distrain.track.saved_views import view_id

PAGES = Pages("7", "abc", "adult/one", {3: "def"})
MODE = "workflowType=machine_learning"


def test_links_are_filled_in_with_the_ids_that_mlflow_gave() -> None:
    text = (
        "[Board](distrain:leaderboard) [Charts](distrain:charts) [All](distrain:all) "
        "[trial 3](distrain:trial/3) "
        "[file](distrain:artifacts/search/a.csv) [model](distrain:model/adult/2) "
        "[elsewhere](https://example.org)"
    )

    share = f"viewStateShareKey={view_id('adult/one', 'leaderboard')}"
    charts = f"viewStateShareKey={view_id('adult/one', 'charts')}&compareRunsMode=CHART"
    assert with_links(text, PAGES) == (
        f"[Board](#/experiments/7/runs?{share}&{MODE}) "
        f"[Charts](#/experiments/7/runs?{charts}&{MODE}) "
        f"[All](#/experiments/7/runs?viewStateShareKey={view_id('adult/one', 'all')}&{MODE}) "
        f"[trial 3](#/experiments/7/runs/def?{MODE}) "
        f"[file](#/experiments/7/runs/abc/artifacts/search/a.csv?{MODE}) "
        f"[model](#/models/adult/versions/2?{MODE}) "
        "[elsewhere](https://example.org)"
    )


def test_what_has_no_id_yet_is_no_link() -> None:
    assert with_links("[trial 9](distrain:trial/9) won", PAGES) == "trial 9 won"
    assert with_links("[it](distrain:unheard_of)", PAGES) == "it"


@pytest.mark.parametrize("number", ["x", "", "\u00b2", "3" * 5000])
def test_what_is_no_trial_s_number_stops_no_delivery(number: str) -> None:
    assert with_links(f"[it](distrain:trial/{number}) won", PAGES).endswith("won")


def test_a_link_reads_as_a_name_with_brackets_does() -> None:
    told = with_links(f"[{plain('a[1]')} version 3](distrain:model/a/3)", PAGES)

    assert told == f"[a\\[1\\] version 3](#/models/a/versions/3?{MODE})"


def test_a_description_that_grows_too_long_is_cut_at_a_line_and_says_so() -> None:
    line = "- [trial 3](distrain:trial/3) failed\n"

    filled = with_links(line * 150, PAGES)

    assert len(filled) <= MAX_NOTE_LENGTH
    last, _, told = filled.rpartition("\n\n")
    assert told == "(cut: MLflow takes 8,000 characters)"
    assert last.endswith("failed")
