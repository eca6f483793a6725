"""Jobs whose runs are kept in an object store: lost, stopped, and gone on with to the same bits."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distrain.object_store.bucket import Bucket
from tests.integration.test_jobs import INSTALLED, drivers
from tests.integration.test_object_store import Machine
from tests.integration.test_resume import EPOCHS, NET, STEPS_PER_EPOCH
from tests.integration.test_search_at_store import SEARCH, has_events
from tests.private_ray import PrivateRay, private_ray
from tests.s3_server import S3Server

pytestmark = [pytest.mark.slow, pytest.mark.long]

# A job's files are copied before they are imported, so that none beside them is seen there.
SLOW_NET = NET.replace('number("pause_s")', "0.1")
NO_TOKEN = {"RAY_AUTH_MODE": "disabled"}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    server = S3Server()
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        for name, text in server.environment.items():
            patch.setenv(name, text)
        machine = Machine(tmp_path_factory.mktemp("machine"), server)
        (machine.folder / "net.py").write_text(SLOW_NET)
        yield machine
        shutil.rmtree(machine.temporary, ignore_errors=True)
    server.close()


@pytest.fixture(scope="module")
def head(machine: Machine) -> Iterator[PrivateRay]:
    """A cluster whose nodes have the account, as a job brings none."""
    environment = {**INSTALLED, **NO_TOKEN, **machine.server.environment}
    with private_ray(environment=environment) as started:
        yield started


def submit(machine: Machine, head: PrivateRay, *words: str) -> Any:
    command = ("submit", "--address", head.url, *words)
    return machine.start(*command, environment=NO_TOKEN)


def test_a_lost_driver_s_run_is_found_at_the_store_and_comes_to_the_same_bits(
    machine: Machine, head: PrivateRay, tmp_path: Path
) -> None:
    straight = machine.result("train", "run.yaml", f"storage={tmp_path}/runs")
    words = ("--supervise", "--upload-data", "train", "run.yaml", f"storage={machine.storage}")

    watched = submit(machine, head, *words)
    machine.wait_for(lambda names: any("/step-4/manifest.json" in name for name in names))
    [driver] = drivers(machine.storage)
    driver.send_signal(signal.SIGKILL)
    answer = machine.end(watched)

    result, told = answer["result"], (machine.folder / "told.txt").read_text()
    assert told.count("was lost; submitting it again") == 1
    assert f"going on with {machine.storage}/run/" in told
    assert EPOCHS * STEPS_PER_EPOCH > result["resumed_from_step"] >= 4
    assert result["run_dir"] == f"{machine.storage}/run/{machine.newest().name}"
    assert result["weights_sha256"] == straight["weights_sha256"]
    assert result["tracking"] == "complete"


def test_a_lost_driver_s_search_is_found_at_the_store_and_comes_to_the_same_bits(
    machine: Machine, head: PrivateRay, tmp_path: Path
) -> None:
    (machine.folder / "search.yaml").write_text(SEARCH)
    straight = machine.result("tune", "search.yaml", f"storage={tmp_path}/runs")
    words = ("--supervise", "--upload-data", "tune", "search.yaml", f"storage={machine.storage}")

    watched = submit(machine, head, *words)
    machine.wait_for(has_events)
    search = machine.newest()
    [driver] = drivers(machine.storage)
    driver.send_signal(signal.SIGKILL)
    result = machine.end(watched)["result"]

    told = (machine.folder / "told.txt").read_text()
    assert told.count("was lost; submitting it again") == 1
    assert result["run_dir"] == f"{machine.storage}/run/{search.name}"
    own = ("status", "num_trials", "num_stopped_early", "num_failed", "weights_sha256", "tracking")
    assert {key: result[key] for key in own} == {key: straight[key] for key in own}
    assert result["best"]["config"] == straight["best"]["config"]
    assert Bucket(search).folders("trials/") == []


def test_a_stopped_job_s_run_goes_on_from_the_store(machine: Machine, head: PrivateRay) -> None:
    words = ("train", "run.yaml", f"storage={machine.storage}", "seed=1")
    begun = machine.end(submit(machine, head, *words))
    machine.wait_for(lambda names: any("/step-4/manifest.json" in name for name in names))

    stop = ("job", "stop", begun["job_id"], "--address", head.url)
    stopped = machine.end(machine.start(*stop, environment=NO_TOKEN))["result"]
    resumed = machine.end(submit(machine, head, "--wait", "resume", stopped["run_dir"]))["result"]

    assert stopped["status"] == "interrupted"
    assert stopped["run_dir"] == f"{machine.storage}/run/{machine.newest().name}"
    assert resumed["run_dir"] == stopped["run_dir"]
    assert resumed["resumed_from_step"] == stopped["step"]
    assert (resumed["status"], resumed["tracking"]) == ("finished", "complete")
