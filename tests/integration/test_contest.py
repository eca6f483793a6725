"""The gate on real prepared data and a real registry; the models are made by hand."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import torch

from distrain.config.load import settings_from_dict
from distrain.config.settings import Settings
from distrain.contest import Candidate, digest_of_test_rows, hold_contest
from distrain.data.prepare import prepare
from distrain.data.prepared import PreparedDataset
from distrain.errors import ConfigError
from distrain.evaluate.goals import GoalOutcome
from distrain.evaluate.seen_rows import seen_rows
from distrain.locations import data_of
from distrain.promotion import judge_promotion, move, plan_promotion, undo
from distrain.track.aliases import TEST_TAG, moves_of
from distrain.track.packaged import save_packaged
from distrain.track.tracking_server import TrackingServer, connect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
NUM_ROWS = 600
MET = GoalOutcome("test/accuracy", ">= 0", 1.0, True)


def write_rows(path: Path, seed: int = 0) -> Path:
    """Write rows whose class is the sign of a column, with much noise in another."""
    random = np.random.default_rng(seed)
    signal, noise = random.normal(size=(2, NUM_ROWS))
    label = np.where(signal > 0, "up", "down").tolist()
    pa.csv.write_csv(pa.table({"signal": signal, "noise": noise, "label": label}), path)
    return path


def settings_for(folder: Path, **data: object) -> Settings:
    return settings_from_dict(
        {
            "name": "signs",
            "storage": str(folder / "runs"),
            "data": {"source": str(folder / "rows.csv"), "target": "label", **data},
            "model": {"name": "linear"},
            "track": {"register": {"alias": "champion", "metric": "accuracy"}},
        }
    )


class Place:
    """Prepared data, and a registry whose only version was made by hand.

    Args:
        folder: where it all lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = TrackingServer(f"sqlite:///{folder}/mlflow.db", folder / "art", "storage")
        self.client = connect(self.server)
        write_rows(folder / "rows.csv")
        self.settings = settings_for(folder, split={"test": 0.5})
        self.dataset = prepare(data_of(self.settings), cache=folder / "prepared").dataset
        self.client.create_registered_model("signs")

    def package(self, name: str, column: int, dataset: PreparedDataset, *, seen: bool) -> Path:
        """Package a model that looks at one column alone."""
        packaged = self.folder / name / "packaged"
        weight = torch.zeros(2, 2)
        weight[:, column] = torch.tensor([-4.0, 4.0])
        state = {"linear.weight": weight, "linear.bias": torch.zeros(2)}
        from distrain.models.build import build_model

        shape = dataset.transform.input_shape
        module = build_model({"name": "linear"}, input_shape=shape, num_outputs=2, seed=0)
        state = dict(zip(module.state_dict(), state.values(), strict=True))
        save_packaged(
            packaged,
            module_state=state,
            model_spec={"name": "linear"},
            transform=dataset.transform,
            threads=1,
        )
        if seen:
            train = dataset.split("train")
            seen_rows([train.slice(0, train.num_rows)], train.num_rows).save(packaged)
        return packaged

    def hold(self, packaged: Path, dataset: PreparedDataset) -> None:
        """Make a version of a packaged model, and give it the alias."""
        tags = {"distrain.data.sha256": dataset.digest, TEST_TAG: str(digest_of_test_rows(dataset))}
        made = self.client.create_model_version("signs", str(packaged), tags=tags)
        self.client.set_registered_model_alias("signs", "champion", made.version)

    def candidate(self, packaged: Path) -> Candidate:
        data = data_of(self.settings)
        return Candidate("signs", "k", packaged, self.settings, data, self.dataset, (MET,))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, ray_local: str) -> Place:
    return Place(tmp_path_factory.mktemp("contest"))


SIGNAL, NOISE = 0, 1


def test_a_better_candidate_earns_the_alias(place: Place) -> None:
    place.hold(place.package("h1", NOISE, place.dataset, seen=True), place.dataset)
    good = place.package("c1", SIGNAL, place.dataset, seen=True)
    verdict = hold_contest(place.candidate(good), "champion", place.server)
    assert verdict.may_move, verdict.text
    assert verdict.contest is not None
    found = verdict.contest.comparison
    assert found is not None
    assert (found.metric, found.num_rows) == ("accuracy", NUM_ROWS // 2)
    assert found.candidate > 0.95
    assert 0.4 < found.holder < 0.6
    assert found.level == 0.025  # the holder was measured on these rows before
    assert not verdict.contest.notes


def test_a_worse_one_does_not(place: Place) -> None:
    place.hold(place.package("h2", SIGNAL, place.dataset, seen=True), place.dataset)
    bad = place.package("c2", NOISE, place.dataset, seen=True)
    verdict = hold_contest(place.candidate(bad), "champion", place.server)
    assert not verdict.may_move
    assert verdict.text.startswith("not better than version")


def test_test_rows_that_the_holder_was_trained_on_are_left_out(place: Place) -> None:
    other = settings_for(place.folder, split={"test": 0.1, "seed": 5})
    divided = prepare(data_of(other), cache=place.folder / "prepared").dataset
    place.hold(place.package("h3", NOISE, divided, seen=True), divided)
    good = place.package("c3", SIGNAL, place.dataset, seen=True)
    verdict = hold_contest(place.candidate(good), "champion", place.server)
    assert verdict.contest is not None
    assert verdict.contest.comparison is not None
    left = verdict.contest.comparison.num_rows
    assert 30 < left < 100  # of 300, 80 in 100 were in the holder's training split
    (note,) = verdict.contest.notes
    assert note.startswith(f"{NUM_ROWS // 2 - left} of {NUM_ROWS // 2} test rows were among those")


@pytest.mark.parametrize("is_same_data", [True, False])
def test_what_a_holder_was_trained_on_must_be_known(place: Place, is_same_data: bool) -> None:
    other = settings_for(place.folder, split={"test": 0.1, "seed": 5})
    divided = prepare(data_of(other), cache=place.folder / "prepared").dataset
    trained_on = place.dataset if is_same_data else divided
    place.hold(place.package(f"h4-{is_same_data}", NOISE, trained_on, seen=False), trained_on)
    good = place.package(f"c4-{is_same_data}", SIGNAL, place.dataset, seen=True)
    verdict = hold_contest(place.candidate(good), "champion", place.server)
    assert verdict.may_move is is_same_data
    expected = "trained on other rows of the same split" if is_same_data else "nothing tells which"
    assert expected in verdict.text


def test_a_free_alias_needs_no_comparison(place: Place) -> None:
    good = place.package("c5", SIGNAL, place.dataset, seen=True)
    assert hold_contest(place.candidate(good), "free", place.server).may_move


def test_unmet_goals_end_it_before_anything_is_asked(place: Place) -> None:
    good = place.package("c6", SIGNAL, place.dataset, seen=True)
    unmet = replace(MET, is_met=False)
    candidate = replace(place.candidate(good), goals=(unmet,))
    nowhere = TrackingServer("http://127.0.0.1:9", None, "track.uri")
    assert not hold_contest(candidate, "champion", nowhere).may_move


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda folder: write_rows(folder / "rows.csv", seed=1).unlink(), "rows.csv"),
        (
            lambda folder: (folder / "rows.csv").write_text(
                "signal,noise,label\n1,2,up\n-1,2,down\n1,1,up\n"
            ),
            "test rows now, where 300 were prepared",
        ),
    ],
    ids=["gone", "shorter"],
)
def test_a_source_that_is_no_longer_what_it_was_is_told(
    place: Place, change: Callable[[Path], object], told: str
) -> None:
    good = place.package("c7", SIGNAL, place.dataset, seen=True)
    place.hold(place.package("h7", NOISE, place.dataset, seen=True), place.dataset)
    try:
        change(place.folder)
        verdict = hold_contest(place.candidate(good), "champion", place.server)
    finally:
        write_rows(place.folder / "rows.csv")
    assert not verdict.may_move
    assert told in verdict.text


def test_an_alias_is_forced_kept_and_given_back(place: Place) -> None:
    place.hold(place.package("h8", SIGNAL, place.dataset, seen=True), place.dataset)
    before = place.client.get_registered_model("signs").aliases["champion"]
    forced = plan_promotion("models:/signs/1", "champion", place.server)

    result = move(forced, "forced: a drill", place.server, "signs/run")

    assert (result.status, result.exit_code) == ("moved", 0)
    assert result.to_json()["model"] == {"name": "signs", "version": "1", "alias": "champion"}
    (kept,) = moves_of(place.client, "signs").values()
    assert (kept.from_version, kept.to_version) == (str(before), "1")
    assert (kept.why, kept.evidence) == ("forced: a drill", "signs/run")

    again = move(forced, "forced: once more, too late", place.server, "")
    assert again.status == "moved"  # it has it already
    other = replace(forced, version=replace(forced.version, version="2"))
    late = move(other, "forced: by another", place.server, "")
    assert (late.status, late.exit_code) == ("refused", 3)
    assert "version 1 has champion now" in late.reasons[0]

    back = undo("signs", "champion", place.server)
    assert (back.status, back.model.version) == ("moved", str(before))
    assert place.client.get_registered_model("signs").aliases["champion"] == before
    with pytest.raises(ConfigError, match="no move of champion is known"):
        undo("signs", "champion", place.server)


def test_a_version_whose_run_is_elsewhere_cannot_be_compared(place: Place) -> None:
    promotion = plan_promotion("models:/signs/1", "champion", place.server)
    with pytest.raises(ConfigError, match=r"cannot be compared.*--force REASON"):
        judge_promotion(promotion, place.server, place.folder / "runs")


def test_an_alias_of_mlflows_own_is_refused(place: Place) -> None:
    with pytest.raises(ConfigError, match="reserved by MLflow"):
        plan_promotion("models:/signs/1", "v2", place.server)
