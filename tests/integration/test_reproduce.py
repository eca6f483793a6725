"""`distrain reproduce` as a whole: equal to the last bit, or what differs, by name."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import pytest

from distrain import provenance
from distrain.track import lineage
from tests.bad_cases import PEOPLE
from tests.command_line import run_in_process

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_local")]

# A file beside the runs changes what it computes, unseen by anything that a run keeps.
NET = """
import pathlib, torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(6, 5), torch.nn.Dropout(0.2), torch.nn.Linear(5, 2)
        )
        self.factor = 2.0 if pathlib.Path(UNSEEN).exists() else 1.0

    def forward(self, x):
        return self.layers(x) * self.factor
"""
RUN = """
data: {source: people.csv, target: income}
model: {target: "net:Net"}
train: {epochs: 2, global_batch_size: 16, num_workers: 1}
track: {every_steps: 1}
"""


@final
class Place:
    """A folder with a configuration, data and a model, and the runs that come of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unseen = folder / "unseen"
        net = NET.replace("UNSEEN", repr(str(self.unseen)))
        for name, content in {"people.csv": PEOPLE, "net.py": net, "run.yaml": RUN}.items():
            (folder / name).write_text(content)

    def do(self, code: int, *words: str) -> dict[str, Any]:
        """Run a command and return its object."""
        ended = run_in_process([*words, "--json"], self.folder)
        assert ended.code == code, ended.stderr
        fields: dict[str, Any] = json.loads(ended.stdout)
        return fields

    @contextmanager
    def changed(self, name: str, old: str, new: str) -> Iterator[None]:
        """Change a file within a `with` block."""
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        try:
            yield
        finally:
            path.write_text(text)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("reproduce"))


@pytest.fixture(scope="module")
def trained(place: Place, ray_local: str) -> dict[str, Any]:
    return place.do(0, "train", "run.yaml")


def differences(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["part"], each["what"]) for each in result["differences"]]


def test_a_run_is_equal_on_other_workers_and_what_changed_beside_it_is_named(
    place: Place, trained: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {**lineage.installed(), "torch": "2.12.0"}
    own = {**lineage.own_hashes(), "distrain/train/step.py": "0" * 64}
    monkeypatch.setattr(provenance, "installed", lambda: versions)
    monkeypatch.setattr(provenance, "own_hashes", lambda: own)

    with place.changed("net.py", "Linear(6, 5)", "Linear(6, 7)"):
        result = place.do(0, "reproduce", "models:/run/1", "train.num_workers=2")

    assert result["status"] == "equal"
    assert result["steps_compared"] == trained["step"]
    assert set(result["weights_sha256"].values()) == {trained["weights_sha256"]}
    assert differences(result) == [
        ("libraries", "torch"),
        ("code", "distrain/train/step.py"),
        ("code", "net.py"),
    ]
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{place.folder / 'runs' / 'mlflow.db'}")
    version = client.get_model_version("run", "1")
    [made] = client.search_runs(
        [client.get_run(trained["run_id"]).info.experiment_id],
        f"tags.`distrain.reproduces` = '{trained['run_id']}'",
    )
    assert version.tags["distrain.reproduced"].startswith("equal, 20")
    assert made.data.tags["distrain.kind"] == "reproduction"
    assert made.data.tags["distrain.weights_sha256"] == trained["weights_sha256"]
    assert len(client.search_model_versions("name = 'run'")) == 1
    # From a dataset to its runs and versions, and from a run to its data.
    data = f"tags.`distrain.data.sha256` = '{trained['dataset_digest']}'"
    assert [found.version for found in client.search_model_versions(data)] == [version.version]
    source = mlflow.data.get_source(
        client.get_run(version.run_id).inputs.dataset_inputs[0]  # type: ignore[arg-type]
    )
    assert source.to_dict()["prepared_sha256"] == trained["dataset_digest"]


def test_a_changed_row_is_named_by_file_column_split_and_rows(
    place: Place, trained: dict[str, Any]
) -> None:
    file = ("data", str(place.folder / "people.csv"))
    with place.changed("people.csv", "20,Bern,30", "21,Bern,30"):
        validation = place.do(3, "reproduce", trained["run_dir"])
    with place.changed("people.csv", "27,Oslo,37", "99,Oslo,37"):
        training = place.do(3, "reproduce", trained["run_dir"])

    assert validation["run_dir"] is None
    assert differences(validation) == [
        file,
        ("data", "prepared split validation, row 0"),
        ("data", "prepared split validation, rows 0 to 5"),
        ("data", "digest of the prepared data"),
    ]
    told = differences(training)
    assert told[0] == file
    # What a column is scaled by has changed, and with it every row.
    assert {
        ("data", "column 'age'.training.mean"),
        ("data", "prepared split train, rows 0 to 47"),
    } < set(told)


@pytest.mark.long
def test_an_altered_configuration_and_an_altered_copy_of_the_code_are_named(
    place: Place, trained: dict[str, Any]
) -> None:
    kept = Path(trained["run_dir"]).relative_to(place.folder) / "lineage"

    with place.changed(str(kept / "config.yaml"), "seed: 0", "seed: 1"):
        other_seed = place.do(3, "reproduce", trained["run_id"])
    with place.changed(str(kept / "code" / "net.py"), "Dropout(0.2)", "Dropout(0.3)"):
        other_code = place.do(3, "reproduce", "models:/run/latest")

    assert other_seed["differences"] == [
        {"part": "configuration", "what": "seed", "was": "0", "is": "1"}
    ]
    assert differences(other_code) == [("code", "net.py")]


@pytest.mark.long
def test_from_mlflow_alone_the_first_step_that_differs_is_named(
    place: Place, trained: dict[str, Any]
) -> None:
    run_dir = Path(trained["run_dir"])
    shutil.move(run_dir, place.folder / "away")
    place.unseen.touch()
    try:
        result = place.do(3, "reproduce", "models:/run/1")
    finally:
        place.unseen.unlink()
        shutil.move(place.folder / "away", run_dir)

    first, last = result["differences"]
    assert first["what"] == "train/loss of step 1"
    assert float(first["was"]) != float(first["is"])
    assert last["what"] == "weights_sha256"
    assert result["steps_compared"] == 0


@pytest.mark.long
def test_a_run_that_was_made_longer_is_made_again_as_it_was_and_as_it_is(
    place: Place, trained: dict[str, Any]
) -> None:
    longer = place.do(0, "resume", trained["run_dir"], "train.epochs=4")

    before = place.do(0, "reproduce", "models:/run/1")
    after = place.do(0, "reproduce", longer["run_dir"])

    assert (before["status"], after["status"]) == ("equal", "equal")
    assert before["weights_sha256"]["rebuilt"] == trained["weights_sha256"]
    assert after["weights_sha256"]["rebuilt"] == longer["weights_sha256"]
    assert (before["steps_compared"], after["steps_compared"]) == (trained["step"], longer["step"])
