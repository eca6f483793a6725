"""A cluster of hosts with addresses of their own, used from another host, as it is meant to be.

Three hosts have Ray nodes; on the fourth are an MLflow server, on PostgreSQL, and an S3 server, and
commands are run there. The cluster asks for its token. The hosts share a disk.
"""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, final

import pytest

from distrain.jobs.chaos.undertaking import DISTRAIN, Undertaking
from tests.chaos.hosts import HAS_NAMESPACES, Hosts, hosts
from tests.chaos.undertaking import ledger_faults
from tests.mlflow_server import MlflowServer
from tests.postgresql import find_programs, postgresql

PROGRAMS = find_programs()
NUM_NODES = 3
USERS = NUM_NODES
FAR = NUM_NODES - 1
S3_PORT = 5001
TIMEOUT_S = 300.0
ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "of-a-test",
    "AWS_SECRET_ACCESS_KEY": "of-a-test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
MAKE_BUCKET = (
    "import boto3, sys; boto3.client('s3', endpoint_url=sys.argv[1]).create_bucket(Bucket='data')"
)
ASK = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=2).close()"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.skipif(not HAS_NAMESPACES, reason="root alone can make network namespaces"),
    pytest.mark.skipif(
        PROGRAMS is None or not find_spec("psycopg") or not find_spec("moto"),
        reason="needs PostgreSQL's programs (Debian: postgresql), psycopg[binary], moto[server]",
    ),
]


@final
@dataclass(frozen=True)
class Site:
    """The hosts, and a user's folder.

    Attributes:
        hosts: of the cluster, and the one that commands are run on.
        folder: with a configuration.
    """

    hosts: Hosts
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a user's commands."""
        dropped = ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "RAY_TMPDIR")
        kept = {name: text for name, text in os.environ.items() if name not in dropped}
        return {**kept, **ACCOUNT, **self.hosts.authentication}

    def run(self, *words: str, on: int = USERS) -> tuple[int, dict[str, Any], str]:
        """Run a command on a host; return its code, its answer and what it told."""
        done = subprocess.run(
            [*self.hosts.words_on(on), *DISTRAIN, *words, "--json"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        assert done.stdout.strip(), done.stderr
        return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stderr

    def submit(self, command: str, *words: str, supervised: bool = False) -> list[str]:
        """Return the words that submit a command and wait for it."""
        how = "--supervise" if supervised else "--wait"
        config = str(self.folder / "digits.yaml")
        return ["submit", how, "--address", self.hosts.url, command, config, *words]

    def undertake(self, name: str, *words: str, supervised: bool = False) -> Undertaking:
        """Begin a run that is submitted, and takes its time."""
        slow = [
            *(f"name={name}", "train.epochs=10", "train.checkpoint.every_steps=10"),
            *("model={target: 'slow_net:SlowNet'}", "cluster.env={SLOW_NET_PART_S: '0.05'}"),
            *("train.max_failures=100", "cluster.collective_timeout_s=20"),
            "train.global_batch_size=52",
        ]
        return Undertaking(
            self.folder / f"told-{name}",
            self.folder / "runs" / name,
            self.submit("train", *slow, *words, supervised=supervised),
            self.environment,
            command=[*self.hosts.words_on(USERS), *DISTRAIN],
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    assert PROGRAMS is not None
    folder = tmp_path_factory.mktemp("site")
    token = secrets.token_hex(16)
    address = Hosts.address_of(USERS)
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, text in ACCOUNT.items():
            patch.setenv(name, text)
        # A job's `python` is the cluster's.
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        made = stack.enter_context(hosts(NUM_NODES + 1, NUM_NODES, token=token, has_dashboard=True))
        prefix = made.words_on(USERS)
        database = stack.enter_context(postgresql(PROGRAMS))
        server = MlflowServer(folder, database=database.socket_uri, host=address, prefix=prefix)
        stack.callback(server.stop)
        server.launch()
        s3 = f"http://{address}:{S3_PORT}"
        words = [sys.executable, "-m", "moto.server", "-H", address, "-p", str(S3_PORT)]
        store = subprocess.Popen(
            [*prefix, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        stack.callback(store.wait)
        stack.callback(store.kill)
        for url in (f"{server.tracking.uri}/health", s3, f"{made.url}/api/version"):
            wait_for(url, prefix)
        subprocess.run([*prefix, sys.executable, "-c", MAKE_BUCKET, s3], check=True)
        shutil.copy(Path(__file__).parents[1] / "chaos" / "slow_net.py", folder)
        config = {
            "name": "digits",
            "storage": str(folder / "runs"),
            "data": {
                "source": "sklearn:digits",
                "target": "target",
                "cache": {
                    "path": f"s3://data/prepared?endpoint_override={address}:{S3_PORT}&scheme=http"
                },
            },
            "train": {"epochs": 2, "num_workers": NUM_NODES, "ledger": True},
            "track": {"uri": server.tracking.uri},
        }
        (folder / "digits.yaml").write_text(json.dumps(config), encoding="utf-8")
        yield Site(made, folder)


def wait_for(url: str, prefix: list[str]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        done = subprocess.run([*prefix, sys.executable, "-c", ASK, url], capture_output=True)
        if not done.returncode or b"HTTP Error 401" in done.stderr:
            return
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.5)


def test_the_doctor_finds_nothing_unfit(site: Site) -> None:
    code, answer, told = site.run("doctor", "digits.yaml", "--address", site.hosts.address)

    assert (code, [one for one in answer["checks"] if one["level"] != "ok"]) == (0, []), told


def test_a_submitted_run_trains_on_all_hosts_and_registers_its_model(site: Site) -> None:
    code, answer, told = site.run(*site.submit("train"))

    assert code == 0, told
    result = answer["result"]
    assert (result["status"], result["num_workers"]) == ("finished", NUM_NODES)
    assert result["model"]["name"] == "digits"
    assert result["tracking"] == "complete"
    straight = site.run("train", "digits.yaml", "name=straight", "train.num_workers=1", on=USERS)[1]
    assert result["weights_sha256"] == straight["weights_sha256"]


def test_a_submitted_search_ends_with_a_registered_winner(site: Site) -> None:
    search = {
        "num_trials": 4,
        "metric": "validation/loss",
        "mode": "min",
        "scheduler": "sha",
        "space": {"train.optimizer.lr": {"loguniform": [1e-4, 1e-2]}},
    }
    code, answer, told = site.run(
        *site.submit("tune", "name=searched", "train.num_workers=1", f"tune={json.dumps(search)}")
    )

    assert code == 0, told
    result = answer["result"]
    assert (result["status"], result["num_trials"], result["num_failed"]) == ("finished", 4, 0)
    assert result["model"]["name"] == "searched"


@pytest.fixture(scope="module")
def num_rows(site: Site) -> int:
    """Rows to train on."""
    code, answer, told = site.run("prepare", "digits.yaml")
    assert code == 0, told
    return int(answer["rows"]["train"])


@pytest.fixture(scope="module")
def undisturbed(site: Site) -> str:
    """The weights of the run that nothing happens to."""
    run = site.undertake("undisturbed")
    try:
        return str(run.end()["result"]["weights_sha256"])
    finally:
        run.abandon()


def test_a_host_that_is_cut_off_and_comes_back_changes_nothing(
    site: Site, undisturbed: str, num_rows: int
) -> None:
    run = site.undertake("cut", f"train.num_workers={{min: 1, max: {NUM_NODES}}}")
    try:
        run.wait_for_step(12)
        run.inject("cut", lambda _beats: site.hosts.cut(FAR))
        site.hosts.heal(FAR)  # upon which Ray there ends, and is started again

        def start_again(_beats: object) -> None:
            site.hosts.end_node(FAR)
            site.hosts.start_node(FAR)

        run.inject("healed", start_again)
        answer = run.end()
    finally:
        run.abandon()

    assert [fault.num_workers for fault in run.injected] == [
        (NUM_NODES, NUM_NODES - 1),
        (NUM_NODES - 1, NUM_NODES),
    ]
    assert answer["result"]["weights_sha256"] == undisturbed
    assert ledger_faults(run.made, num_rows) == (0, 0)


def test_a_head_that_is_killed_costs_a_supervised_run_nothing(
    site: Site, undisturbed: str, num_rows: int
) -> None:
    run = site.undertake("headless", supervised=True)
    try:
        run.wait_for_step(25)
        for number in reversed(range(NUM_NODES)):
            site.hosts.end_node(number)
        for number in range(NUM_NODES):
            site.hosts.start_node(number)
        answer = run.end()
    finally:
        run.abandon()

    assert "was lost; submitting it again" in run.told()
    assert answer["status"] == "succeeded"
    assert answer["result"]["resumed_from_step"] > 0
    assert answer["result"]["weights_sha256"] == undisturbed
    assert ledger_faults(run.made, num_rows) == (0, 0)
