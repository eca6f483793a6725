"""The files for Ray's cluster launcher, read by Ray's own checks."""

import copy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import start

from tests.cluster_files import CLUSTER, REPOSITORY, documents, locked, parse

FILES = [CLUSTER / name for name in ("aws.yaml", "gcp.yaml", "on-premises.yaml")]
CLOUDS = FILES[:2]
IDS = [path.stem for path in FILES]


def read(path: Path) -> dict[str, Any]:
    [config] = documents(path)
    return config


def start_words(config: dict[str, Any], key: str) -> list[str]:
    """Return the words of the `ray start` that is all of a list of commands.

    Ray's own templates first end every Ray of the user on a machine.
    """
    [only] = config[key]
    ray, command, *words = shlex.split(only)
    assert (ray, command) == ("ray", "start")
    return words


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_ray_takes_it(path: Path) -> None:
    validate_config(prepare_config(read(path)))


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_ray_s_check_notices_a_key_that_it_does_not_know(path: Path) -> None:
    config = read(path) | {"idle_timeout": 5}

    with pytest.raises(jsonschema.ValidationError, match="idle_timeout"):
        validate_config(prepare_config(config))


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_nodes_ask_for_a_token_which_is_not_in_the_file(path: Path) -> None:
    config = read(path)

    assert "--env=RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    assert config["file_mounts"]["/home/ray/.ray/auth_token"] == "~/.ray/auth_token"


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_ray_start_knows_its_options_and_keeps_the_dashboard_on_loopback(path: Path) -> None:
    config = read(path)

    head = parse(start, start_words(config, "head_start_ray_commands"))
    worker = parse(start, start_words(config, "worker_start_ray_commands"))

    assert head["head"]
    assert head["dashboard_host"] == "127.0.0.1"
    assert head["autoscaling_config"] == "~/ray_bootstrap_config.yaml"
    assert worker["address"] == f"$RAY_HEAD_IP:{head['port']}"


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_every_node_runs_the_locked_ray_and_installs_the_locked_packages(path: Path) -> None:
    config = read(path)
    types = config.get("available_node_types", {}).values()
    images = [
        config["docker"]["image"],
        *(kind["docker"]["worker_image"] for kind in types if "docker" in kind),
    ]

    assert {image.split("-")[0] for image in images} == {f"rayproject/ray:{locked('ray')}"}
    assert {image.split("-")[1] for image in images} == {"py312"}
    folder = "/home/ray/distrain"
    assert config["setup_commands"] == [
        f"pip install --constraint {folder}/constraints.txt {folder}"
    ]
    assert config["file_mounts"][folder] == "."
    assert (REPOSITORY / "constraints.txt").is_file()


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_what_is_private_is_not_copied_to_the_nodes(path: Path) -> None:
    config = read(path)

    assert {".git", ".venv", "cluster/secrets"} <= set(config["rsync_exclude"])
    assert config["rsync_filter"] == [".gitignore"]


@pytest.mark.parametrize("path", CLOUDS, ids=[path.stem for path in CLOUDS])
def test_no_machine_has_a_public_address(path: Path) -> None:
    config = read(path)

    assert config["provider"]["use_internal_ips"] is True
    for kind in config["available_node_types"].values():
        node = kind["node_config"]
        assert is_private(node), node


def is_private(node: dict[str, Any]) -> bool:
    """Return whether a node has a network of the user's, so that Ray makes no public one for it."""
    interfaces = node.get("networkInterfaces")
    if interfaces is not None:
        return all("subnetwork" in one and "accessConfigs" not in one for one in interfaces)
    return bool(node["SubnetIds"]) and bool(node["SecurityGroupIds"])


def test_a_public_node_is_noticed() -> None:
    kinds = read(CLUSTER / "gcp.yaml")["available_node_types"]
    node = copy.deepcopy(kinds["gpu"]["node_config"])
    node["networkInterfaces"][0]["accessConfigs"] = [{"type": "ONE_TO_ONE_NAT"}]

    assert not is_private(node)


def test_disks_on_aws_are_encrypted_and_its_metadata_asks_for_a_token() -> None:
    for kind in read(CLUSTER / "aws.yaml")["available_node_types"].values():
        node = kind["node_config"]
        assert node["MetadataOptions"]["HttpTokens"] == "required"
        assert all(disk["Ebs"]["Encrypted"] for disk in node["BlockDeviceMappings"])


@pytest.mark.parametrize("path", CLOUDS, ids=[path.stem for path in CLOUDS])
def test_workers_come_when_they_are_needed_and_the_head_takes_no_work(path: Path) -> None:
    config = read(path)
    kinds = dict(config["available_node_types"])
    head = kinds.pop(config["head_node_type"])

    assert head["resources"] == {"CPU": 0}
    assert {kind["min_workers"] for kind in kinds.values()} == {0}
    assert all(0 < kind["max_workers"] <= config["max_workers"] for kind in kinds.values())


def addresses(config: dict[str, Any]) -> Iterator[str]:
    yield config["provider"]["head_ip"]
    yield from config["provider"]["worker_ips"]


def test_the_machines_of_one_s_own_have_addresses_of_a_private_network() -> None:
    config = read(CLUSTER / "on-premises.yaml")

    assert all(address.startswith("10.") for address in addresses(config))
    head = parse(start, start_words(config, "head_start_ray_commands"))
    assert head["node_ip_address"] == config["provider"]["head_ip"]
