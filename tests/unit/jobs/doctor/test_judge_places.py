"""What planted facts of a cluster, its places, the token and ports are judged to be."""

from dataclasses import replace

import pytest

from distrain.config.settings import Settings
from distrain.jobs.doctor import judge_places as judge
from distrain.jobs.doctor.facts import ClusterNode, Place, Sight
from distrain.ray_token import Access, Token

HEAD = ClusterNode("a1", "head (10.0.0.1)", total={"CPU": 4.0}, free={"CPU": 4.0})
WORKER = ClusterNode("b2", "worker (10.0.0.2)", total={"CPU": 4.0}, free={"CPU": 4.0})
SHARED = Place("storage", "/runs", sights=(Sight("head"), Sight("worker")))


def settings(num_workers: int) -> Settings:
    return Settings.model_validate(
        {
            "data": {"source": "sklearn:digits", "target": "target"},
            "model": {"name": "mlp"},
            "train": {"num_workers": num_workers, "logical_shards": 64},
        }
    )


def test_nodes_that_answer_are_well() -> None:
    [found] = judge.judge_nodes([HEAD, WORKER], "10.0.0.1:6379")

    assert (found.level, found.text) == ("ok", "2 nodes, all answer")


def test_a_dead_node_is_named_with_the_command_that_starts_it_again() -> None:
    dead = replace(WORKER, is_alive=False, answers=False, why_dead="health check failed")

    [found] = judge.judge_nodes([HEAD, dead], "10.0.0.1:6379")

    assert (found.level, found.where) == ("fault", "worker (10.0.0.2)")
    assert found.text == "the node died (health check failed)"
    assert "ray start --address=10.0.0.1:6379" in found.mend


@pytest.mark.parametrize("planted", [{"is_replaced": True, "why_dead": "killed"}, {}])
def test_a_node_that_came_back_or_left_as_it_was_asked_is_no_fault(planted: dict[str, str]) -> None:
    gone = replace(WORKER, is_alive=False, answers=False, **planted)

    [found] = judge.judge_nodes([HEAD, gone], "10.0.0.1:6379")

    assert found.level == "ok"


def test_a_node_that_is_silent_is_found_before_ray_finds_it() -> None:
    [found] = judge.judge_nodes([HEAD, replace(WORKER, answers=False)], "10.0.0.1:6379")

    assert (found.level, found.where) == ("fault", "worker (10.0.0.2)")


@pytest.mark.parametrize(
    ("num_workers", "free", "level"), [(8, 4.0, "ok"), (9, 4.0, "fault"), (8, 1.0, "warning")]
)
def test_room_is_judged_for_what_the_configuration_asks_for(
    num_workers: int, free: float, level: str
) -> None:
    nodes = [HEAD, replace(WORKER, free={"CPU": free})]

    [found] = judge.judge_room(settings(num_workers), nodes)

    assert found.level == level


def test_too_few_cpus_are_told_with_the_mend() -> None:
    [found] = judge.judge_room(settings(9), [HEAD, WORKER])

    assert found.where == "train.num_workers"
    assert "9 workers with 1 CPU each do not fit" in found.text
    assert "Use fewer workers" in found.mend
    assert found.exit_code == 2


def test_a_cluster_without_cpus_is_a_fault_without_a_configuration_too() -> None:
    [found] = judge.judge_room(None, [replace(HEAD, total={}, free={})])

    assert (found.level, found.text) == ("fault", "no node has a CPU for work")


def test_more_workers_than_this_machine_takes_are_a_fault() -> None:
    [found] = judge.judge_local_room(settings(17), num_gpus=0)

    assert found.level == "fault"
    assert "a local Ray, which takes 16" in found.text


@pytest.mark.parametrize(("mode", "level"), [(0o600, "ok"), (0o400, "ok"), (0o644, "fault")])
def test_a_token_file_is_for_its_owner_alone(mode: int, level: str) -> None:
    [found] = judge.judge_token(Token("/home/me/.ray/auth_token", "s3cret", mode))

    assert found.level == level
    assert "s3cret" not in str(found)


def test_a_token_that_all_can_read_is_told_with_chmod() -> None:
    [found] = judge.judge_token(Token("/home/me/.ray/auth_token", "s3cret", 0o644))

    assert found.text == "others can read it (mode 644)"
    assert found.mend.startswith("chmod 600 /home/me/.ray/auth_token")


def test_a_cluster_that_lets_everybody_in_is_a_warning_beyond_the_loopback() -> None:
    open_ = Access(is_asked=False, is_on=False, token=None, is_right=False)

    assert [found.level for found in judge.judge_access(open_, is_near=False)] == ["warning"]
    assert [found.level for found in judge.judge_access(open_, is_near=True)] == ["ok"]


def test_a_place_that_all_see_is_well() -> None:
    [found] = judge.judge_place(SHARED)

    assert (found.level, found.text) == ("ok", "/runs; written and read on 2 nodes and here")


@pytest.mark.parametrize(
    ("sight", "text"),
    [
        (Sight("worker", is_seen=False), "is not seen on that node"),
        (Sight("worker", unread=("head",)), "what head wrote there is not read on that node"),
    ],
)
def test_storage_that_is_not_shared_is_named_with_the_node(sight: Sight, text: str) -> None:
    [found] = judge.judge_place(replace(SHARED, sights=(Sight("head"), sight)))

    assert (found.check, found.level, found.where) == ("storage", "fault", "worker")
    assert text in found.text
    assert "Mount the same storage" in found.mend


@pytest.mark.parametrize(
    "place",
    [
        Place("storage", "/runs", error="/runs cannot be written"),
        Place("storage", "/runs", sights=(Sight("worker", error="Read-only file system"),)),
    ],
)
def test_read_only_storage_is_told_with_the_mend(place: Place) -> None:
    [found] = judge.judge_place(place)

    assert (found.check, found.level) == ("storage", "fault")
    assert "mount -o remount,rw" in found.mend


def test_missing_credentials_of_object_storage_are_told_with_the_variables() -> None:
    place = Place("data.cache.path", "s3://b/p", True, error="ACCESS_DENIED", has_account=False)

    [found] = judge.judge_place(place)

    assert (found.check, found.level, found.where) == ("data.cache.path", "fault", "s3://b/p")
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in found.mend


def test_credentials_that_are_refused_are_told_apart_from_missing_ones() -> None:
    [found] = judge.judge_place(Place("storage", "s3://b/p", True, error="ACCESS_DENIED"))

    assert "there are no credentials" not in found.text
    assert "that the credentials may write" in found.mend


def test_a_taken_port_is_a_fault_where_it_was_asked_for_and_else_a_warning() -> None:
    named = judge.judge_port(8080, "port 8080 cannot be used (in use)", is_named=True)
    usual = judge.judge_port(5000, "port 5000 cannot be used (in use)", is_named=False)

    assert (named.level, usual.level) == ("fault", "warning")
    assert "ss -ltnp 'sport = :8080'" in named.mend
    assert "distrain ui --port 5001" in usual.mend
    assert judge.judge_port(5000, None, is_named=False).level == "ok"
