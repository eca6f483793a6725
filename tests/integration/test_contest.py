"""The gate on real prepared data and a real registry; the models are made by hand."""

import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
import torch

from distrain.candidate import registered_candidate
from distrain.config.load import settings_from_dict
from distrain.config.settings import Settings
from distrain.contest import Candidate, digest_of_test_rows, hold_contest
from distrain.data.prepare import prepare
from distrain.data.prepared import PreparedDataset
from distrain.errors import ConfigError, TrackingError
from distrain.evaluate.goals import GoalOutcome
from distrain.evaluate.seen_rows import seen_rows
from distrain.locations import data_of
from distrain.promotion import move, plan_promotion, undo
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


def write_rows(path: Path, shift: float = 0.0) -> Path:
    """Write rows whose class is the sign of a column, with much noise in another."""
    random = np.random.default_rng(0)
    signal, noise = random.normal(size=(2, NUM_ROWS))
    label = np.where(signal > 0, "up", "down").tolist()
    pa.csv.write_csv(pa.table({"signal": signal, "noise": noise + shift, "label": label}), path)
    return path


def write_rows_otherwise(source: Path, path: Path) -> Path:
    """Write the same rows in another order, columns too, with numbers written in another form."""
    rows = pa.csv.read_csv(source).to_pylist()
    lines = [f"{row['label']},{row['noise']:.25e},+{row['signal']:.25f}" for row in rows]
    lines = [line.replace("+-", "-") for line in reversed(lines)]
    path.write_text("\n".join(["label,noise,signal", *lines]) + "\n")
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

    def hold(self, packaged: Path, dataset: PreparedDataset, **more: str) -> None:
        """Make a version of a packaged model, and give it the alias."""
        tags = {"distrain.data.sha256": dataset.digest, TEST_TAG: str(digest_of_test_rows(dataset))}
        tags |= more
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


def test_two_that_are_compared_at_once_do_not_share_a_level(place: Place) -> None:
    place.hold(place.package("h14", NOISE, place.dataset, seen=True), place.dataset)
    good = place.package("c14", SIGNAL, place.dataset, seen=True)
    barrier = threading.Barrier(2)

    def level_of(key: str) -> float:
        candidate = replace(place.candidate(good), key=key)
        barrier.wait(60)
        verdict = hold_contest(candidate, "champion", place.server)
        assert verdict.contest is not None
        assert verdict.contest.comparison is not None
        return verdict.contest.comparison.level

    with ThreadPoolExecutor(2) as pool:
        first, second = sorted(pool.map(level_of, ["k14", "k15"]), reverse=True)

    assert second < first


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


def test_rows_of_another_file_and_preparation_are_found_too(place: Place) -> None:
    write_rows_otherwise(place.folder / "rows.csv", place.folder / "other.csv")
    other = settings_for(
        place.folder,
        source=str(place.folder / "other.csv"),
        split={"test": 0.0, "validation": 0.1},
        features={"noise": {"kind": "numeric", "scale": "none"}},
    )
    divided = prepare(data_of(other), cache=place.folder / "prepared").dataset
    place.hold(place.package("h9", NOISE, divided, seen=True), divided)
    good = place.package("c9", SIGNAL, place.dataset, seen=True)
    verdict = hold_contest(place.candidate(good), "champion", place.server)
    assert re.search(r"2\d\d of 300 test rows were among those that the holder", verdict.text)


def test_rows_that_only_look_like_training_rows_stay_where_hardly_any_would_be_left(
    tmp_path: Path, place: Place
) -> None:
    few = np.random.default_rng(0).integers(0, 2, (2, NUM_ROWS))
    label = np.where(few[0] > 0, "up", "down").tolist()
    table = pa.table({"signal": few[0], "noise": few[1], "label": label})
    pa.csv.write_csv(table, tmp_path / "rows.csv")
    settings = settings_for(tmp_path, split={"test": 0.5})
    dataset = prepare(data_of(settings), cache=tmp_path / "prepared").dataset
    place.hold(place.package("h10", NOISE, dataset, seen=True), dataset)
    good = place.package("c10", SIGNAL, dataset, seen=True)
    candidate = Candidate("signs", "k", good, settings, data_of(settings), dataset, (MET,))
    verdict = hold_contest(candidate, "champion", place.server)
    assert verdict.may_move, verdict.text
    assert "split from them, so they stay" in verdict.text


def test_a_holder_that_cannot_be_loaded_is_told_and_keeps_the_alias(place: Place) -> None:
    packaged = place.package("h11", NOISE, place.dataset, seen=True)
    description = packaged / "model.json"
    described = json.loads(description.read_text())
    described["threads"] = "none"
    description.write_text(json.dumps(described))
    place.hold(packaged, place.dataset)
    good = place.package("c11", SIGNAL, place.dataset, seen=True)
    verdict = hold_contest(place.candidate(good), "champion", place.server)
    assert not verdict.may_move
    assert "could not be compared with: " in verdict.text
    assert "threads is 'none'" in verdict.text


def test_a_version_that_has_the_alias_already_keeps_it(place: Place) -> None:
    packaged = place.package("h12", SIGNAL, place.dataset, seen=True)
    place.hold(packaged, place.dataset, **{"distrain.key": "k", "distrain.gate": "passed"})
    verdict = hold_contest(place.candidate(packaged), "champion", place.server)
    assert verdict.may_move
    assert verdict.tags() == {"distrain.gate": "passed"}


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
    with pytest.raises(TrackingError):
        hold_contest(replace(candidate, goals=(MET,)), "champion", nowhere)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda folder: (folder / "rows.csv").unlink(), "rows.csv"),
        (
            lambda folder: (folder / "rows.csv").write_text(
                "signal,noise,label\n1,2,up\n-1,2,down\n1,1,up\n"
            ),
            "test rows now, where 300 were prepared",
        ),
        (
            lambda folder: write_rows(folder / "rows.csv", shift=0.001),
            "300 of the source's test rows are not what was prepared",
        ),
    ],
    ids=["gone", "shorter", "altered"],
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
    forced = replace(forced, tags={"distrain.run": "signs/run"})

    result = move(forced, "forced: a drill", place.server)

    assert (result.status, result.exit_code) == ("moved", 0)
    assert result.to_json()["model"] == {"name": "signs", "version": "1", "alias": "champion"}
    (kept,) = moves_of(place.client, "signs").values()
    assert (kept.from_version, kept.to_version) == (str(before), "1")
    assert (kept.why, kept.evidence) == ("forced: a drill", "signs/run")

    again = move(forced, "forced: once more, too late", place.server)
    assert again.status == "moved"  # it has it already
    other = replace(forced, version=replace(forced.version, version="2"))
    late = move(other, "forced: by another", place.server)
    assert (late.status, late.exit_code) == ("refused", 3)
    assert "version 1 has champion now" in late.reasons[0]

    back = undo("signs", "champion", place.server)
    assert back.model is not None
    assert (back.status, back.model.version) == ("moved", str(before))
    assert place.client.get_registered_model("signs").aliases["champion"] == before
    with pytest.raises(ConfigError, match="no move of champion is known"):
        undo("signs", "champion", place.server)


def test_an_alias_goes_back_to_nobody_and_not_to_a_version_that_is_gone(place: Place) -> None:
    for version in ("1", "2"):
        move(plan_promotion(f"models:/signs/{version}", "other", place.server), "", place.server)
    place.client.delete_model_version("signs", "1")
    with pytest.raises(ConfigError, match="version 1 had the alias before, and is there no more"):
        undo("signs", "other", place.server)
    move(plan_promotion("models:/signs/2", "third", place.server), "", place.server)
    back = undo("signs", "third", place.server)
    assert (back.status, back.model) == ("moved", None)
    assert "third" not in place.client.get_registered_model("signs").aliases


@pytest.mark.parametrize("key", ["distrain.key", "mine"])
def test_a_version_whose_run_is_elsewhere_cannot_be_compared(place: Place, key: str) -> None:
    place.hold(place.package(f"h13-{key}", SIGNAL, place.dataset, seen=True), place.dataset)
    promotion = replace(plan_promotion("models:/signs", "champion", place.server), tags={key: "k"})
    told = "not made by distrain" if key == "mine" else "there is no run"
    with (
        pytest.raises(ConfigError, match=rf"cannot be compared.*{told}.*--force REASON"),
        registered_candidate(
            promotion.version, promotion.tags, place.server, place.folder / "runs"
        ),
    ):
        pass


def test_an_alias_of_mlflows_own_is_refused(place: Place) -> None:
    with pytest.raises(ConfigError, match="reserved by MLflow"):
        plan_promotion("models:/signs/1", "v2", place.server)
