"""A run's lineage against what is at hand, each change named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from distrain import provenance
from distrain.config.load import load_settings
from distrain.differences import Difference
from distrain.errors import ConfigError, DataError
from distrain.object_store.link import Link, linked
from distrain.object_store.place import Place
from distrain.track import lineage
from distrain.track.lineage_folder import sha256
from distrain.track.model_versions import RegisteredVersion
from distrain.track.origin import LINEAGE_TAG, WEIGHTS_TAG
from distrain.track.packaged import held_weights_sha256
from distrain.track.recorded import RecordedRun
from distrain.track.tracking_server import TrackingServer
from tests.example_models import people_transform, save_example
from tests.lineage_examples import MACHINE, recorded_run


def texts(found: list[Difference]) -> list[str]:
    return [difference.text for difference in found]


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedRun:
    monkeypatch.chdir(tmp_path)
    return recorded_run(tmp_path)


def alter(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def surroundings(recorded: RecordedRun) -> list[str]:
    return texts(provenance.of_surroundings(recorded, MACHINE, [Path.cwd()]))


@pytest.mark.parametrize(
    ("tagged", "is_damaged", "told"),
    [
        ("", False, []),
        ("f" * 64, False, ["training: registered weights ffffffffffff -> 0000"]),
        ("f" * 64, True, ["training: registered weights ffffffffffff -> damaged"]),
    ],
)
def test_a_version_is_told_whose_files_are_not_the_weights_of_its_tags(
    recorded: RecordedRun,
    monkeypatch: pytest.MonkeyPatch,
    tagged: str,
    is_damaged: bool,
    told: list[str],
) -> None:
    def download(_: object, __: object, folder: Path) -> Path:
        packaged = save_example(folder / "packaged", people_transform())
        if is_damaged:
            (packaged / "model.safetensors").write_bytes(b"torn")
        return folder

    monkeypatch.setattr(provenance, "download_model", download)
    held = held_weights_sha256(save_example(Path("other"), people_transform()))
    version = RegisteredVersion("people", "1", None)
    tags = {**recorded.tags, WEIGHTS_TAG: tagged or held}
    server = TrackingServer("http://127.0.0.1:9", None, "track.uri")

    found = provenance.of_registered(
        replace(recorded, tags=tags, version=version), server, Path.cwd()
    )

    assert texts(found) == [text.replace("0000", held[:12]) for text in told]
    assert all(difference.is_decisive for difference in found)


def test_nothing_is_told_where_nothing_differs(recorded: RecordedRun) -> None:
    assert provenance.of_records(recorded) == []
    assert surroundings(recorded) == []


@pytest.mark.parametrize("place", ["lineage/config.yaml", "config.yaml"])
def test_an_altered_key_is_named_by_the_other_copy(recorded: RecordedRun, place: str) -> None:
    assert recorded.run_dir is not None
    alter(recorded.run_dir / place, "epochs: 5", "epochs: 6")

    found = provenance.of_records(recorded)

    assert texts(found) == ["configuration: train.epochs 5 -> 6"]
    assert found[0].is_decisive


def test_a_key_that_was_altered_in_both_copies_is_named_by_the_parameters(
    recorded: RecordedRun,
) -> None:
    for place in (recorded.lineage / "config.yaml", recorded.config_copy):
        assert place is not None
        alter(place, "epochs: 5", "epochs: 6")

    assert texts(provenance.of_records(recorded)) == ["configuration: train.epochs 5 -> 6"]


def test_an_altered_comment_is_told_as_the_file(recorded: RecordedRun) -> None:
    alter(recorded.lineage / "config.yaml", "train:", "# a note\ntrain:")

    [difference] = provenance.of_records(recorded)

    assert difference.what == "file config.yaml"


@pytest.mark.parametrize(
    ("name", "part", "is_decisive"),
    [
        ("requirements.txt", "libraries", False),
        ("machine.json", "machine", False),
        ("code.json", "code", True),
        ("data.json", "data", True),
    ],
)
def test_an_altered_file_of_the_lineage_is_named(
    recorded: RecordedRun, name: str, part: str, is_decisive: bool
) -> None:
    path = recorded.lineage / name
    path.write_bytes(path.read_bytes() + b"\n")

    [found] = provenance.of_records(recorded)

    assert (found.part, found.what) == (part, f"lineage/{name}")
    assert found.is_decisive is is_decisive
    assert surroundings(recorded) == []


def test_a_lineage_whose_table_was_altered_is_no_evidence(recorded: RecordedRun) -> None:
    alter(recorded.lineage / "lineage.json", '"format": 1', '"format":  1')

    [found] = provenance.of_records(recorded)

    assert found.what == "lineage/lineage.json"
    assert surroundings(recorded) == []


def test_another_version_of_a_library_and_another_processor_are_named(
    recorded: RecordedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {**lineage.installed(), "torch": "2.12.0"}
    monkeypatch.setattr(provenance, "installed", lambda: versions)

    found = provenance.of_surroundings(recorded, {**MACHINE, "cpu": "another"}, [Path.cwd()])

    was = lineage.installed()["torch"]
    assert texts(found) == [
        f"libraries: torch {was} -> 2.12.0",
        "machine: cpu a processor -> another",
    ]


def test_the_user_s_changed_file_is_named_and_decides_nothing(recorded: RecordedRun) -> None:
    Path("net.py").write_text("WIDTH = 4\n")

    [found] = provenance.of_surroundings(recorded, MACHINE, [Path.cwd()])

    assert (found.part, found.what, found.is_decisive) == ("code", "net.py", False)


def test_the_user_s_file_need_not_be_here(recorded: RecordedRun) -> None:
    Path("net.py").unlink()

    assert surroundings(recorded) == []


def test_an_altered_copy_of_the_code_decides(recorded: RecordedRun) -> None:
    alter(recorded.lineage / "code" / "net.py", "3", "4")

    [found] = provenance.of_surroundings(recorded, MACHINE, [Path.cwd()])

    assert (found.part, found.what, found.is_decisive) == ("code", "net.py", True)


def test_a_file_that_was_too_large_to_be_kept_is_told(recorded: RecordedRun) -> None:
    alter(recorded.lineage / "code.json", '"left_out": {}', '"left_out": {"nets/big.bin": 2000000}')
    recorded = _with_index_of_now(recorded)

    assert surroundings(recorded) == [
        "code: nets/big.bin, too large to be kept 2,000,000 bytes -> (absent)"
    ]


def _with_index_of_now(recorded: RecordedRun) -> RecordedRun:
    index = json.loads((recorded.lineage / "lineage.json").read_text())
    index["files"]["code.json"] = sha256((recorded.lineage / "code.json").read_bytes())
    text = json.dumps(index)
    (recorded.lineage / "lineage.json").write_text(text)
    return replace(recorded, tags={**recorded.tags, LINEAGE_TAG: sha256(text.encode())})


def test_code_that_was_mended_within_the_run_is_told(recorded: RecordedRun) -> None:
    earlier = recorded.lineage / "earlier" / "0123456789ab"
    earlier.mkdir(parents=True)
    code = (recorded.lineage / "code.json").read_text()
    known = json.loads(code)["user"]["files"]["net.py"]
    (earlier / "code.json").write_text(code.replace(known, "0" * 64))

    assert surroundings(recorded) == [
        f"code: net.py, changed within the run 000000000000 -> {known[:12]}"
    ]


def test_distrain_s_own_changed_files_are_named(
    recorded: RecordedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {**lineage.own_hashes(), "distrain/train/step.py": "0" * 64}
    monkeypatch.setattr(provenance, "own_hashes", lambda: own)

    [found] = provenance.of_surroundings(recorded, MACHINE, [Path.cwd()])

    assert (found.part, found.what, found.now) == ("code", "distrain/train/step.py", "0" * 64)


def test_a_changed_source_file_is_named_and_a_moved_one_is_the_same(
    recorded: RecordedRun, tmp_path: Path
) -> None:
    data = load_settings([recorded.lineage / "config.yaml"]).data
    content = (tmp_path / "a.csv").read_bytes()
    known = [{"uri": str(tmp_path / "a.csv"), "sha256": sha256(content)}]
    moved = data.model_copy(update={"source": str(tmp_path / "b.csv")})
    (tmp_path / "b.csv").write_bytes(content)

    assert provenance.of_source_files(moved, known) == []
    (tmp_path / "b.csv").write_bytes(content.replace(b"2,1", b"3,1"))
    [found] = provenance.of_source_files(moved, known)
    assert (found.part, found.what) == ("data", str(tmp_path / "b.csv"))
    (tmp_path / "b.csv").unlink()
    with pytest.raises(DataError, match=r"lies elsewhere now, say so: data\.source=PATH"):
        provenance.of_source_files(moved, known)


def test_a_run_is_made_again_in_its_own_storage_with_what_changes_no_bits(
    recorded: RecordedRun, tmp_path: Path
) -> None:
    words = ["train.num_workers=3", "data.source=elsewhere.csv"]

    stored, wanted = provenance.settings_of(recorded, words, Path("other"))
    _, elsewhere = provenance.settings_of(replace(recorded, run_dir=None), [], Path("other"))

    assert stored.storage == wanted.storage == str(tmp_path / "runs")
    assert wanted.train.num_workers == 3
    assert wanted.data.source == str(tmp_path / "elsewhere.csv")
    assert elsewhere.storage == str(tmp_path / "other")


def test_a_run_at_a_store_is_made_again_there(recorded: RecordedRun) -> None:
    kept = Place("team", "runs/a/r", "scheme=http")
    assert recorded.run_dir is not None

    with linked(Link(recorded.run_dir, kept)):
        stored, _ = provenance.settings_of(recorded, [], Path("other"))
    registered = replace(recorded, run_dir=None)
    _, named = provenance.settings_of(registered, [], Path("s3://other/runs?scheme=http"))

    assert stored.storage == "s3://team/runs?scheme=http"
    assert named.storage == "s3://other/runs?scheme=http"


def test_a_variable_need_not_be_set_where_the_data_is_said_to_lie_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    recorded = recorded_run(tmp_path, source="${PLACE}/a.csv")
    monkeypatch.delenv("PLACE")

    _, wanted = provenance.settings_of(recorded, ["data.source=a.csv"], Path("other"))

    assert wanted.data.source == str(tmp_path / "a.csv")
    with pytest.raises(ConfigError, match=r"data\.source uses \$\{PLACE\}"):
        provenance.settings_of(recorded, [], Path("other"))


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("seed=3", "seed = 3 cannot take the place of 0"),
        ("train.epochs=9", r"train\.epochs says how long the run is"),
    ],
)
def test_what_would_be_another_run_is_refused(recorded: RecordedRun, word: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        provenance.settings_of(recorded, [word], Path("other"))


def test_lineage_is_plain_json(recorded: RecordedRun) -> None:
    for path in recorded.lineage.glob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))
