"""`distrain submit` of what is kept at an object store."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from distrain.config.digest import dump_yaml
from distrain.config.load import settings_from_dict
from distrain.object_store.bucket import Bucket
from distrain.object_store.place import Place
from distrain.stored_run import Started
from tests.fake_dashboard import FakeDashboard
from tests.s3_server import S3Server
from tests.unit.jobs.test_submission import answer, only_job, own, sent, submit

HERE = socket.gethostname()
STORE = "s3://team/runs?endpoint_override=minio:9000&scheme=http"
RUN = "rows/20261121T072929-bcf101"
NO_ACCOUNT = {
    **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ""),
    **dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), "/nowhere"),
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture
def elsewhere() -> Iterator[FakeDashboard]:
    with FakeDashboard(f"not-{HERE}") as fake:
        yield fake


@pytest.fixture
def here() -> Iterator[FakeDashboard]:
    with FakeDashboard(HERE) as fake:
        yield fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n", encoding="utf-8")
    config = {"data": {"source": "s3://team/rows.csv", "target": "b"}}
    (tmp_path / "rows.yaml").write_text(json.dumps(config), encoding="utf-8")
    return tmp_path


@pytest.fixture
def run(server: S3Server, account: None, tmp_path: Path) -> Place:
    """A run that was begun at the store."""
    storage = server.place(f"kept/{tmp_path.name}")
    data = {"source": "s3://team/rows.csv", "target": "b"}
    settings = settings_from_dict({"name": "rows", "storage": storage.uri, "data": data})
    Started([], "d" * 64, [], {}, {}).save(tmp_path)
    files = Bucket(storage.below(RUN))
    files.put("files/000001-000/started.json", (tmp_path / "started.json").read_bytes())
    files.put("files/000001-000/config.yaml", dump_yaml(settings).encode())
    return storage.below(RUN)


def test_the_job_is_told_where_its_run_is_kept(elsewhere: FakeDashboard, folder: Path) -> None:
    ended = submit(elsewhere, folder, "train", "rows.yaml", f"storage={STORE}")

    assert ended.code == 0, ended.stderr
    files = sent(elsewhere)
    assert own(files) == {"config/0/rows.yaml", "ticket.json"}
    ticket = json.loads(files["ticket.json"])
    assert (ticket["storage"], ticket["name"]) == (STORE, "rows")
    assert f'storage="{STORE}"' in only_job(elsewhere)["entrypoint"]


def test_local_data_goes_along_to_the_store(elsewhere: FakeDashboard, folder: Path) -> None:
    words = ("--upload-data", "train", "rows.yaml", f"storage={STORE}", "data.source=rows.csv")
    ended = submit(elsewhere, folder, *words)

    assert ended.code == 0, ended.stderr
    place, _, query = STORE.partition("?")
    kept_in = json.loads(sent(elsewhere)["ticket.json"])["uploads"]["data/0"]
    assert kept_in.startswith(f"{place}/uploaded/")
    assert kept_in.endswith(f"?{query}")
    named = f"{kept_in.partition('?')[0]}/rows.csv?{query}"
    assert f'data.source="{named}"' in only_job(elsewhere)["entrypoint"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("storage=s3://team/runs?endpoint_override=127.0.0.1:9000", "storage leads to https://127"),
        ("cluster.env.AWS_ENDPOINT_URL=http://localhost:9000", "AWS_ENDPOINT_URL leads to http"),
        ("storage=gs://team/runs", "gs:// knows no way to take a name only once"),
        ("track.uri=postgresql://db/mlflow", "artifacts would lie in a folder of this host"),
    ],
)
def test_what_the_cluster_could_not_keep_is_refused(
    elsewhere: FakeDashboard, folder: Path, words: str, said: str
) -> None:
    ended = submit(elsewhere, folder, "train", "rows.yaml", f"storage={STORE}", words)

    assert ended.code == 2
    assert said in answer(ended)["error"]["message"]
    assert elsewhere.jobs == {}


def test_an_account_goes_along_by_its_names_and_its_secret_stays(
    elsewhere: FakeDashboard, folder: Path
) -> None:
    words = (
        "cluster.env.AWS_ENDPOINT_URL=http://minio:9000",
        "cluster.env.AWS_SECRET_ACCESS_KEY=${TEAM_SECRET_KEY}",
    )
    named = {"TEAM_SECRET_KEY": "abcdef0123456789abcdef", "AWS_ACCESS_KEY_ID": "AKIA"}
    ended = submit(elsewhere, folder, "train", "rows.yaml", f"storage={STORE}", *words, **named)

    assert ended.code == 0, ended.stderr
    assert json.loads(sent(elsewhere)["ticket.json"])["account"] == {
        "AWS_ENDPOINT_URL": "http://minio:9000",
        "AWS_SECRET_ACCESS_KEY": "${TEAM_SECRET_KEY}",
    }
    variables = only_job(elsewhere)["runtime_env"]["env_vars"]
    assert not set(named) & set(variables)
    assert "what a job gets: AWS_ACCESS_KEY_ID, TEAM_SECRET_KEY; set them" in ended.stderr
    assert not any(b"abcdef0123456789abcdef" in content for content in sent(elsewhere).values())


def test_a_run_at_a_store_is_looked_at_and_goes_on(
    here: FakeDashboard, folder: Path, run: Place
) -> None:
    storage = run.parent.parent.uri
    named = [run.uri], [run.name, "--storage", storage], ["--last", "--storage", storage]

    jobs = {
        answer(submit(here, folder, "resume", *words, "train.epochs=90"))["job_id"]
        for words in named
    }

    assert [job.startswith("distrain-rows-") for job in jobs] == [True]
    assert f"resume '{run.uri}' train.epochs=90" in only_job(here)["entrypoint"]


def test_a_run_that_is_not_at_the_store_is_told(
    here: FakeDashboard, folder: Path, run: Place
) -> None:
    ended = submit(here, folder, "resume", run.uri.replace("bcf101", "bcf102"))

    assert ended.code == 2
    assert f"Did you mean '{run.name}'" in answer(ended)["error"]["mend"]
    assert here.jobs == {}


def test_a_run_at_a_store_that_lets_nobody_here_in_is_left_to_the_cluster(
    elsewhere: FakeDashboard, folder: Path, run: Place
) -> None:
    ended = submit(elsewhere, folder, "resume", run.uri, **NO_ACCOUNT)

    assert ended.code == 0, ended.stderr
    assert f"resume '{run.uri}' cluster.address=null" in only_job(elsewhere)["entrypoint"]
    assert json.loads(sent(elsewhere)["ticket.json"])["storage"] == ""
    assert "the store lets nobody in (the environment has no account)" in ended.stderr
    assert "so no code of yours goes along" in ended.stderr
