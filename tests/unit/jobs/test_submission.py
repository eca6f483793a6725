"""`distrain submit`: what is sent, what is refused, and that the same is begun once."""

import io
import json
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distrain.errors import ConfigError
from distrain.jobs.dashboard import connect
from distrain.jobs.ending import Ending, ending_line
from distrain.jobs.request import request_of
from tests.command_line import Ended, run_in_process, told
from tests.fake_dashboard import FakeDashboard

HERE = socket.gethostname()


@pytest.fixture
def cluster() -> Iterator[FakeDashboard]:
    with FakeDashboard(HERE) as fake:
        yield fake


@pytest.fixture
def elsewhere() -> Iterator[FakeDashboard]:
    with FakeDashboard(f"not-{HERE}") as fake:
        yield fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n", encoding="utf-8")
    config = {"data": {"source": "rows.csv", "target": "b"}}
    (tmp_path / "rows.yaml").write_text(json.dumps(config), encoding="utf-8")
    return tmp_path


def submit(cluster: FakeDashboard, folder: Path, *words: str, **environment: str) -> Ended:
    given = ["submit", "--json", "--address", cluster.url, *words]
    return run_in_process(given, folder, environment)


def answer(ended: Ended) -> dict[str, Any]:
    assert ended.stdout, ended.stderr
    fields: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return fields


def only_job(cluster: FakeDashboard) -> dict[str, Any]:
    [job] = cluster.jobs.values()
    return job


def sent(cluster: FakeDashboard) -> dict[str, bytes]:
    [package] = cluster.packages.values()
    with zipfile.ZipFile(io.BytesIO(package)) as zipped:
        return {name: zipped.read(name) for name in zipped.namelist()}


def own(files: dict[str, bytes]) -> set[str]:
    return {name for name in files if not name.startswith("distrain")}


def test_configuration_and_distrain_are_sent_and_nothing_else(
    cluster: FakeDashboard, folder: Path
) -> None:
    ended = submit(cluster, folder, "train", "rows.yaml", f"storage={folder}/runs")

    assert ended.code == 0, ended.stderr
    assert answer(ended) == {
        "job_id": only_job(cluster)["submission_id"],
        "status": "pending",
        "result": None,
    }
    assert own(sent(cluster)) == {"config/0/rows.yaml", "ticket.json"}
    words = only_job(cluster)["entrypoint"]
    assert words.startswith("exec python -m distrain.as_job train ../config/0/rows.yaml ")
    assert f'data.source="{folder}/rows.csv"' in words
    assert int(only_job(cluster)["runtime_env"]["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"]) >= 300


def test_the_same_is_begun_once(cluster: FakeDashboard, folder: Path) -> None:
    words = ("train", "rows.yaml", f"storage={folder}/runs")
    first, second = (submit(cluster, folder, *words) for _ in range(2))

    assert answer(first) == answer(second)
    assert "the same was submitted before" in second.stderr
    assert len(cluster.jobs) == 1


@pytest.mark.parametrize("change", ["seed=1", "storage=/elsewhere/runs", "name=other"])
def test_something_else_is_another_job(cluster: FakeDashboard, folder: Path, change: str) -> None:
    words = ("train", "rows.yaml", f"storage={folder}/runs")
    submit(cluster, folder, *words)
    submit(cluster, folder, *words, change)

    assert len(cluster.jobs) == 2


def test_what_has_ended_runs_again_where_that_is_asked(
    cluster: FakeDashboard, folder: Path
) -> None:
    words = ("train", "rows.yaml", f"storage={folder}/runs")
    first = answer(submit(cluster, folder, *words))["job_id"]
    cluster.end(first, "FAILED")

    assert answer(submit(cluster, folder, *words)) == {
        "job_id": first,
        "status": "failed",
        "result": None,
    }
    assert answer(submit(cluster, folder, "--again", *words))["job_id"] == f"{first}-2"


@pytest.mark.parametrize(
    ("code", "status", "result"),
    [(0, "SUCCEEDED", {"status": "finished"}), (3, "SUCCEEDED", {"goals": {}}), (1, "FAILED", {})],
)
def test_waiting_ends_as_the_command_ends(
    cluster: FakeDashboard, folder: Path, code: int, status: str, result: dict[str, Any]
) -> None:
    words = ("train", "rows.yaml", f"storage={folder}/runs")
    job_id = answer(submit(cluster, folder, *words))["job_id"]
    cluster.end(job_id, status, f"epoch 1\n{ending_line(Ending(code, result))}\n")

    ended = submit(cluster, folder, "--wait", *words)

    assert ended.code == code
    assert answer(ended) == {"job_id": job_id, "status": status.lower(), "result": result}
    assert "epoch 1" in ended.stderr


@pytest.mark.parametrize(
    ("status", "code"), [("STOPPED", 130), ("FAILED", 1)], ids=["stopped", "lost"]
)
def test_a_job_that_could_not_tell_has_an_exit_code(
    cluster: FakeDashboard, folder: Path, status: str, code: int
) -> None:
    words = ("train", "rows.yaml", f"storage={folder}/runs")
    job_id = answer(submit(cluster, folder, *words))["job_id"]
    cluster.end(job_id, status, "epoch 1\n")

    assert submit(cluster, folder, "--wait", *words).code == code


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "rows.yaml"], "storage is not given"),
        (["train", "rows.yaml", "storage=runs"], "storage = 'runs' is relative"),
        (["train", "rows.yaml", "storage=/r", "train.epoch=1", "sed=1"], "train.epoch: unknown"),
        (["tune", "rows.yaml", "storage=/r"], "there is no section tune"),
        (["train", "seed=1"], "no configuration file"),
        (["predict", "rows.yaml"], "'predict' cannot be submitted"),
        (["train", "rows.yaml", "--offlin"], "No such option"),
        (
            ["train", "rows.yaml", "storage=/r", "cluster.env.API_KEY=abcdefgh12345678"],
            "cluster.env.API_KEY holds a secret that is written out",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(
    cluster: FakeDashboard, folder: Path, words: list[str], said: str
) -> None:
    ended = submit(cluster, folder, *words)

    assert ended.code == 2
    assert said in told(answer(ended)["error"])
    assert not any(asked.startswith(("PUT", "POST")) for asked in cluster.asked)


def test_all_faults_are_told_at_once(elsewhere: FakeDashboard, folder: Path) -> None:
    ended = submit(
        *(elsewhere, folder, "train", "rows.yaml", "track.uri=http://127.0.0.1:5000"),
        "cluster.env.API_KEY=abcdefgh12345678",
    )

    message = answer(ended)["error"]["message"]
    assert len(message.splitlines()) == 4
    for said in ("storage", "cluster.env.API_KEY", "track.uri", "data.source"):
        assert said in message


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["storage=/r"], "data.source names"),
        (["storage=/r", "data.source=s3://b/k", "track.uri=http://localhost:1"], "track.uri = "),
    ],
)
def test_what_another_machine_does_not_see_is_refused(
    elsewhere: FakeDashboard, folder: Path, words: list[str], said: str
) -> None:
    ended = submit(elsewhere, folder, "train", "rows.yaml", *words)

    assert ended.code == 2
    assert said in answer(ended)["error"]["message"]


@pytest.mark.parametrize("host", [HERE, f"not-{HERE}"])
def test_local_data_goes_along_where_that_is_asked(host: str, folder: Path) -> None:
    words = ("--upload-data", "train", "rows.yaml", "storage=/mnt/shared/runs")
    with FakeDashboard(host) as cluster:
        ended = submit(cluster, folder, *words)

    assert ended.code == 0, ended.stderr
    files = sent(cluster)
    assert files["data/0/rows.csv"] == (folder / "rows.csv").read_bytes()
    kept_in = json.loads(files["ticket.json"])["uploads"]["data/0"]
    assert kept_in.startswith("/mnt/shared/runs/uploaded/")
    assert f'data.source="{kept_in}/rows.csv"' in only_job(cluster)["entrypoint"]


def test_data_may_lie_at_the_same_path_there(elsewhere: FakeDashboard, folder: Path) -> None:
    words = ("--no-upload-data", "train", "rows.yaml", "storage=/mnt/shared/runs")

    assert submit(elsewhere, folder, *words).code == 0
    assert own(sent(elsewhere)) == {"config/0/rows.yaml", "ticket.json"}


def test_the_code_of_a_target_goes_along(cluster: FakeDashboard, folder: Path) -> None:
    (folder / "nets").mkdir()
    (folder / "nets" / "__init__.py").write_text("import parts\nNet = object\n")
    (folder / "parts.py").write_text("")
    (folder / "unused.py").write_text("")

    words = ("train", "rows.yaml", f"storage={folder}/runs", "model.target=nets:Net")
    ended = submit(cluster, folder, *words)

    assert ended.code == 0, ended.stderr
    assert own(sent(cluster)) == {
        *("config/0/rows.yaml", "ticket.json"),
        *("code/nets/__init__.py", "code/parts.py"),
    }


def test_code_that_an_ignore_file_names_is_missed(cluster: FakeDashboard, folder: Path) -> None:
    (folder / "nets.py").write_text("Net = object\n")
    (folder / ".rayignore").write_text("nets.py\n")

    words = ("train", "rows.yaml", f"storage={folder}/runs", "model.target=nets:Net")
    ended = submit(cluster, folder, *words)

    assert ended.code == 2
    assert "which an ignore file keeps out of the job" in answer(ended)["error"]["message"]


def test_a_whole_folder_goes_along_where_it_is_named(cluster: FakeDashboard, folder: Path) -> None:
    (folder / "work").mkdir()
    (folder / "work" / "notes.txt").write_text("x")
    (folder / "work" / ".gitignore").write_text("*.log\n")
    (folder / "work" / "a.log").write_text("x")

    words = ("train", "rows.yaml", f"storage={folder}/runs", "cluster.working_dir=work")
    ended = submit(cluster, folder, *words)

    assert ended.code == 0, ended.stderr
    assert {name for name in sent(cluster) if name.startswith("code/")} == {
        *("code/notes.txt", "code/.gitignore"),
    }


def test_variables_go_along_by_name_alone(cluster: FakeDashboard, folder: Path) -> None:
    words = ("--env", "TEAM", "train", "rows.yaml", f"storage={folder}/runs", "seed=1")
    environment = {
        "TEAM": "red",
        "OTHER": "x",
        "ROWS": "rows.csv",
        "MLFLOW_TRACKING_TOKEN": "t" * 9,
    }
    ended = submit(cluster, folder, *words, "data.source=${ROWS}", **environment)

    assert ended.code == 0, ended.stderr
    env = only_job(cluster)["runtime_env"]["env_vars"]
    assert {name: env.get(name) for name in environment} == {
        **{"TEAM": "red", "ROWS": "rows.csv"},
        **{"OTHER": None, "MLFLOW_TRACKING_TOKEN": None},
    }
    assert "not sent, as Ray shows what a job gets: MLFLOW_TRACKING_TOKEN" in ended.stderr


def test_a_secret_is_not_sent(cluster: FakeDashboard, folder: Path) -> None:
    words = ("--env", "API_TOKEN", "train", "rows.yaml", f"storage={folder}/runs")
    ended = submit(cluster, folder, *words, API_TOKEN="abcdef0123456789abcdef")

    assert ended.code == 2
    assert "API_TOKEN holds a secret" in answer(ended)["error"]["message"]
    assert "abcdef0123456789abcdef" not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        ("cpus", "'cpus' is no amount"),
        ("cpus=two", "'cpus=two' is no amount"),
        ("cpus=-1", "'cpus=-1' is no amount"),
        ("memory_gb=inf", "'memory_gb=inf' is no amount"),
        ("cpu=1", "'cpu=1' is no resource"),
        ("Memory=4", "'Memory=4' is no resource"),
        ("gpus=1", "'gpus=1' is no resource"),
    ],
)
def test_a_driver_that_would_wait_for_ever_is_refused(
    cluster: FakeDashboard, folder: Path, needs: str, said: str
) -> None:
    ended = submit(cluster, folder, "--driver", needs, "train", "rows.yaml", f"storage={folder}/r")

    assert ended.code == 2
    assert said in answer(ended)["error"]["message"]
    assert cluster.jobs == {}


def test_the_driver_can_be_placed_off_the_head(cluster: FakeDashboard, folder: Path) -> None:
    needs = ("--driver", "cpus=1", "--driver", "memory_gb=2", "--driver", "gateway=0.5")
    submit(cluster, folder, *needs, "train", "rows.yaml", f"storage={folder}/runs")

    job = only_job(cluster)
    assert job["entrypoint_num_cpus"] == 1
    assert job["entrypoint_memory"] == 2_000_000_000
    assert job["entrypoint_resources"] == {"gateway": 0.5}


def test_the_job_is_told_where_its_user_stands(cluster: FakeDashboard, folder: Path) -> None:
    submit(cluster, folder, "train", "rows.yaml", f"storage={folder}/runs")

    ticket = json.loads(sent(cluster)["ticket.json"])
    assert ticket["job_id"] == ticket["standing"]["job_id"] == only_job(cluster)["submission_id"]
    assert ticket["standing"]["git"] is None  # the folder is no working tree
    assert (ticket["storage"], ticket["name"]) == (f"{folder}/runs", "rows")


def test_jobs_are_listed_looked_at_and_stopped(cluster: FakeDashboard, folder: Path) -> None:
    job_id = answer(submit(cluster, folder, "train", "rows.yaml", f"storage={folder}/runs"))[
        "job_id"
    ]
    cluster.jobs["other"] = {**only_job(cluster), "submission_id": "other", "metadata": {}}

    def job(*words: str) -> Ended:
        return run_in_process(["job", *words, "--address", cluster.url, "--json"], folder)

    [listed] = answer(job("list"))["jobs"]
    assert (listed["job_id"], listed["status"]) == (job_id, "pending")
    assert answer(job("status", job_id))["status"] == "pending"
    assert answer(job("stop", job_id))["status"] == "stopped"
    assert job("logs", job_id).code == 0
    unknown = job("status", "nobody")
    assert unknown.code == 2
    assert "knows no job 'nobody'" in answer(unknown)["error"]["message"]


def test_a_job_can_be_asked_for_again_from_what_it_says_of_itself(
    cluster: FakeDashboard, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--env", "TEAM", "--driver", "cpus=1", "train", "rows.yaml")
    job_id = answer(submit(cluster, folder, *words, f"storage={folder}/runs", TEAM="red"))["job_id"]
    asked = only_job(cluster)
    assert "red" not in json.dumps(asked["metadata"])  # Ray shows no values of variables

    with pytest.raises(ConfigError, match="variables that are not set here: TEAM"):
        request_of(connect(cluster.url), job_id)
    monkeypatch.setenv("TEAM", "red")
    request = request_of(connect(cluster.url), job_id)

    assert request.fields == {name: asked[name] for name in request.fields}
    request.send_package(connect(cluster.url))
    cluster.forget()
    with pytest.raises(ConfigError, match="has forgotten the job and its files"):
        request.send_package(connect(cluster.url))
