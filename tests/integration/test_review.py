"""A reviewer with a browser: from the printed link to each of ten answers in at most two clicks.

A real search is looked at in the real UI, as `distrain ui` serves it: 64 trials, most of them
stopped, two that failed, and one whose process was killed. Pictures of what was seen are left in
the folder that DISTRAIN_PICTURES names, else in the test's own.
"""

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import final

import pytest

from distrain.results import TuneResult
from distrain.track.links import UI_PORT
from distrain.track.tracking_server import connect, storage_server
from tests.browser import Browser, browser_missing, free_port, open_browser
from tests.reviewed_search import NUM_TRIALS, run_search
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.usefixtures("ray_local"),
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),
    pytest.mark.filterwarnings("ignore:::mlflow"),
    pytest.mark.skipif(bool(browser_missing()), reason=browser_missing() or "all is there"),
]
MAX_CLICKS = 2
MAX_METRIC_KEYS = 60


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("review") / "runs"


@pytest.fixture(scope="module")
def searched(
    storage: Path, tmp_path_factory: pytest.TempPathFactory, ray_local: str
) -> Iterator[TuneResult]:
    del ray_local
    folder = tmp_path_factory.mktemp("code")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield run_search(folder, storage)


@pytest.fixture(scope="module")
def address(searched: TuneResult, storage: Path) -> Iterator[str]:
    """The UI over the search, as the command serves it; gives its address."""
    assert searched.error is None
    port = free_port()
    words = ["-c", "from distrain.cli import main; main()", "ui", "--storage", str(storage)]
    words += ["--port", str(port)]
    ui = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(url), 120)
        yield url
    finally:
        ui.send_signal(signal.SIGINT)
        ui.wait(30)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/health", timeout=1).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@final
class Reviewer:
    """Opens the printed link, and clicks no more than is allowed.

    Args:
        browser: a window.
        link: what the command printed.
        pictures: where what was seen is kept.
    """

    def __init__(self, browser: Browser, link: str, pictures: Path) -> None:
        self.browser = browser
        self._link = link
        self._pictures = pictures

    def find(self, name: str, *clicks: str, says: tuple[str, ...]) -> str:
        """Begin at the link, click, and return the page's text, which has to say all of this."""
        assert len(clicks) <= MAX_CLICKS
        self.browser.open(self._link)
        for label in clicks:
            self.browser.click(label)
        text = self.browser.wait_for(*says)
        self.browser.picture(self._pictures / f"{name}.png")
        return text


@pytest.fixture
def reviewer(browser: Browser, address: str, searched: TuneResult, tmp_path: Path) -> Reviewer:
    link = searched.page.replace(f"http://127.0.0.1:{UI_PORT}", address)
    pictures = Path(os.environ.get("DISTRAIN_PICTURES", tmp_path / "pictures"))
    return Reviewer(browser, link, pictures)


def test_which_trial_won_and_by_what_margin_over_the_noise_of_seeds(
    reviewer: Reviewer, searched: TuneResult
) -> None:
    assert searched.best is not None
    won = f"Trial {searched.best['trial']} won: validation/accuracy"

    text = reviewer.find("search", says=(won, "over 2 other seeds of the winner's setting a run"))

    assert re.search(r"Margin: It (is level with|leads) trial \d+", text)
    assert re.search(r"\. This is (beyond|within) the noise of seeds", text)
    assert "with 2 other seeds" in text


def test_what_was_stopped_and_failed_when_and_why(reviewer: Reviewer, searched: TuneResult) -> None:
    says = ("lost against others, at epoch 1:", "no such thing as a leak of 0.125")
    text = reviewer.find("search", says=says)

    failed = re.findall(r"trial (\d+) failed at step \d+: (.+)", text)
    assert [int(trial) for trial, _ in failed] == [1, 2, 3]
    assert "killed" in failed[2][1]
    assert f"stopped\t{searched.num_stopped_early}" in text


def test_the_leaderboard_has_the_winner_first_and_says_of_each_how_it_ended(
    reviewer: Reviewer, searched: TuneResult
) -> None:
    assert searched.best is not None
    winner = f"trial {searched.best['trial']:04d} of"

    text = reviewer.find("leaderboard", "Leaderboard", says=(winner, "distrain.outcome"))

    assert re.findall(r"trial \d{4} of", text)[0] == winner
    assert f"{NUM_TRIALS} matching runs" in text


def test_the_charts_have_parallel_coordinates_and_all_curves(reviewer: Reviewer) -> None:
    reviewer.find("charts", "Charts", says=("The search at a glance", "Parallel Coordinates"))

    axes = reviewer.browser.run(
        "return [...document.querySelectorAll('svg text')].map(text => text.textContent)"
    )
    assert any("log10.train.optimizer.lr" in str(axis) for axis in axes)


def test_why_a_trial_failed_stands_on_its_own_page(reviewer: Reviewer) -> None:
    reviewer.find("failed trial", "trial 1", says=("It failed: ", "Failed"))


def test_the_report_opens_in_the_page_of_the_search(reviewer: Reviewer) -> None:
    reviewer.find("report", "Report", says=("report/report.html", "Path: "))


def test_which_data_and_what_changed_since_the_last_run(reviewer: Reviewer) -> None:
    text = reviewer.find("search", says=("Data:", "What changed: since"))

    assert re.search(
        r"rows: train [\d,]+, validation [\d,]+, test [\d,]+; digest [0-9a-f]{12}", text
    )
    assert "configuration: train.epochs 8 -> 4" in text
    assert "From any other search: distrain compare ANOTHER_RUN 2" in text


def test_which_code(reviewer: Reviewer) -> None:
    reviewer.find("search", says=("Code: distrain ",))
    reviewer.find("code", "kept with the run", says=("lineage", "code.json"))


def test_how_it_compares_with_the_model_in_production_and_who_promoted_it(
    reviewer: Reviewer, searched: TuneResult
) -> None:
    assert searched.model is not None
    model = f"digits version {searched.model.version}"

    text = reviewer.find("version", model, says=("same ", "candidate", "interval"))

    assert "When it was made: This version has" in text
    if searched.model.alias:
        assert re.search(r"champion since \d{4}-\d\d-\d\dT[\d:+]+, given by \w+", text)


def test_where_time_and_gpu_hours_went(reviewer: Reviewer) -> None:
    text = reviewer.find("search", says=("Took:",))

    assert re.search(r"Took: .+; no GPU, \d+ epochs, \d+ trials at a time", text)


def test_whether_it_was_interrupted_and_what_it_ran_on(reviewer: Reviewer) -> None:
    text = reviewer.find("search", says=("Interrupted or resized:", "Ran on:"))

    assert "times a trial's process was lost" in text


def test_what_its_limits_are(reviewer: Reviewer) -> None:
    text = reviewer.find("search", says=("Limits: measured on", "Goals:"))

    assert re.search(r"measured on [\d,]+ test rows, by which training chose nothing", text)
    assert re.search(r"Goals: test/accuracy >= 0.5: 0\.\d+, met", text)


def test_who_made_it_and_how_it_is_loaded(reviewer: Reviewer, searched: TuneResult) -> None:
    assert searched.model is not None
    line = f'mlflow.pyfunc.load_model("models:/digits/{searched.model.version}")'

    reviewer.find("search", says=("Made by:", line))


def test_a_search_has_few_distinct_metrics(searched: TuneResult, storage: Path) -> None:
    client = connect(storage_server(storage))
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    sweep = f"tags.`distrain.sweep` = 'digits/{searched.run_dir.name}'"
    runs = client.search_runs([experiment.experiment_id], sweep)
    assert searched.run_id is not None
    runs.append(client.get_run(searched.run_id))

    keys = {key for run in runs for key in run.data.metrics}

    assert len(keys) <= MAX_METRIC_KEYS, sorted(keys)
    assert len(runs) >= NUM_TRIALS + 1
