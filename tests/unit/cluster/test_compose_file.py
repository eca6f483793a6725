"""The compose file: its form, what its services refer to, and that it is closed to others."""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ray.scripts.scripts import cli, start

from tests.cluster_files import CLUSTER, IMAGE, documents, parse

[COMPOSE] = documents(CLUSTER / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OWN = ("head", "worker", "mlflow")


def words(name: str) -> list[str]:
    return shlex.split(SERVICES[name]["command"])


def compose_schema() -> dict[str, Any]:
    found = find_spec("check_jsonschema")
    if found is None or found.origin is None:
        pytest.skip("no schema of compose files (pip install check-jsonschema)")
    vendored = Path(found.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema: dict[str, Any] = json.loads(vendored.read_text(encoding="utf-8"))
    return schema


def test_it_has_the_form_of_a_compose_file() -> None:
    jsonschema.validate(COMPOSE, compose_schema())


def test_the_schema_notices_a_key_that_it_does_not_know() -> None:
    broken = {**COMPOSE, "services": {**SERVICES, "head": {**SERVICES["head"], "port": ["1"]}}}

    with pytest.raises(jsonschema.ValidationError, match="port"):
        jsonschema.validate(broken, compose_schema())


def test_docker_takes_it() -> None:
    docker = shutil.which("docker")
    has_compose = docker and subprocess.run([docker, "compose", "version"], capture_output=True)
    if not has_compose or has_compose.returncode != 0:
        pytest.skip("no docker in PATH that has `docker compose`")

    done = subprocess.run(
        ["docker", "compose", "-f", CLUSTER / "compose.yaml", "config", "--quiet"],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr


def test_ports_are_published_on_loopback_alone() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published == {"head": ["127.0.0.1:8265:8265"], "mlflow": ["127.0.0.1:5000:5000"]}
    assert all("network_mode" not in service for service in SERVICES.values())


def test_what_services_refer_to_is_there() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"]), name
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or source.startswith("${"), volume
    waited_for = {
        awaited
        for service in SERVICES.values()
        for awaited, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_healthy"
    }
    assert all("healthcheck" in SERVICES[name] for name in waited_for)


def test_each_secret_is_a_file_that_is_used_and_made() -> None:
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    script = (CLUSTER / "make-secrets").read_text(encoding="utf-8")
    [made] = re.findall(r"for name in ([\w ]+); do", script)

    assert used == set(COMPOSE["secrets"]) == set(made.split())
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}


def test_files_of_secrets_that_are_named_are_mounted() -> None:
    for name, service in SERVICES.items():
        text = json.dumps([service.get("environment"), service.get("entrypoint")])
        named = set(re.findall(r"/run/secrets/(\w+)", text))
        assert named == set(service.get("secrets", [])), name


def test_hosts_that_are_named_are_services() -> None:
    text = json.dumps(SERVICES)
    hosts = {host for host, _ in re.findall(r"(?:://|@|=)([a-z][a-z0-9]*):(\d+)", text)}

    assert {"mlflow", "postgres", "s3", "head"} <= hosts
    assert hosts <= {*SERVICES, "localhost"}


def test_ray_asks_for_a_token_on_every_node() -> None:
    for name in ("head", "worker"):
        environment = SERVICES[name]["environment"]
        assert environment["RAY_AUTH_MODE"] == "token"
        assert environment["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"


def test_ray_start_knows_its_options_and_workers_find_the_head() -> None:
    head, worker = words("head"), words("worker")

    of_head, of_worker = parse(start, head[2:]), parse(start, worker[2:])

    assert head[:2] == worker[:2] == ["ray", "start"]
    assert cli.commands["start"] is start
    assert (of_head["head"], of_head["num_cpus"], of_head["block"]) == (True, 0, True)
    assert of_worker["address"] == f"head:{of_head['port']}"
    assert SERVICES["head"]["healthcheck"]["test"][1:3] == ["ray", "health-check"]
    assert "health-check" in cli.commands


def test_the_mlflow_server_knows_its_options_and_asks_for_a_password() -> None:
    from mlflow.cli import server  # takes seconds to import

    mlflow, command, *options = words("mlflow")

    values = parse(server, options)

    assert (mlflow, command) == ("mlflow", "server")
    assert values["app_name"] == "basic-auth"
    environment = SERVICES["mlflow"]["environment"]
    assert environment["MLFLOW_AUTH_ADMIN_PASSWORD_FILE"] == "/run/secrets/mlflow_password"
    # Who trains logs in with the same password, at a name that the server answers to.
    of_ray = SERVICES["worker"]["environment"]
    assert of_ray["MLFLOW_TRACKING_PASSWORD_FILE"] == "/run/secrets/mlflow_password"
    assert of_ray["MLFLOW_TRACKING_URI"] == f"http://mlflow:{values['port']}"
    assert f"mlflow:{values['port']}" in values["allowed_hosts"].split(",")


def test_the_storage_is_reached_by_the_key_that_it_was_given() -> None:
    s3 = SERVICES["s3"]
    [script] = s3["entrypoint"][2:]

    assert "--port :7070 posix /objects" in script
    assert "/objects/mlflow" in script
    assert s3["volumes"] == ["objects:/objects"]
    for name in OWN:
        environment = SERVICES[name]["environment"]
        assert environment["AWS_ACCESS_KEY_ID"] == s3["environment"]["ROOT_ACCESS_KEY_ID"]
        assert environment["AWS_SECRET_ACCESS_KEY_FILE"] == "/run/secrets/s3_secret_key"
    assert SERVICES["mlflow"]["environment"]["MLFLOW_S3_ENDPOINT_URL"] == "http://s3:7070"
    subprocess.run(["sh", "-n", "-c", script.replace("$$", "$")], check=True)


def test_containers_have_few_rights_and_images_are_pinned() -> None:
    for name, service in SERVICES.items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service
        assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+[\w.-]*", service["image"]), service["image"]
    for name in OWN:
        assert SERVICES[name]["image"] == IMAGE
        assert SERVICES[name]["cap_drop"] == ["ALL"]
        assert SERVICES[name]["user"] == "${RUN_AS:-1000}"


def test_the_image_is_built_from_the_repository() -> None:
    build = SERVICES["head"]["build"]
    context = (CLUSTER / build["context"]).resolve()

    assert (context / build["dockerfile"]).is_file()
    assert (context / "pyproject.toml").is_file()


def test_secrets_are_made_once_and_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    script = tmp_path / "make-secrets"
    shutil.copy(CLUSTER / "make-secrets", script)
    made = subprocess.run([script], check=True, capture_output=True, text=True).stdout
    files = sorted((tmp_path / "secrets").iterdir())
    before = [path.read_text(encoding="utf-8") for path in files]

    subprocess.run([script], check=True)

    assert {path.name for path in files} == set(COMPOSE["secrets"])
    assert [path.read_text(encoding="utf-8") for path in files] == before
    assert len(set(before)) == len(before)
    assert all(len(bytes.fromhex(text)) == 32 for text in before)
    assert all(text not in made for text in before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in files}
    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


def test_secret_files_stay_out_of_git() -> None:
    ignored = (CLUSTER.parent / ".gitignore").read_text(encoding="utf-8").splitlines()

    assert "/cluster/secrets/" in ignored
    assert os.access(CLUSTER / "make-secrets", os.X_OK)
