"""The Kubernetes manifests: against KubeRay's definitions, each other, and what is safe."""

import copy
import functools
import gzip
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml
from ray.scripts.scripts import start

from tests.cluster_files import IMAGE, KUBERNETES, documents, locked, parse, schemas

FILES = sorted(path.name for path in KUBERNETES.glob("*.yaml"))
OBJECTS = [
    found
    for name in FILES
    if name != "kustomization.yaml"
    for found in documents(KUBERNETES / name)
]
Tree = dict[str, Any]


def of_kind(kind: str) -> list[Tree]:
    return [found for found in OBJECTS if found["kind"] == kind]


def pod_templates() -> Iterator[Tree]:
    """Give all pod templates, RayJob's included."""
    for kind in ("Deployment", "StatefulSet"):
        yield from (found["spec"]["template"] for found in of_kind(kind))
    [cluster], [job] = of_kind("RayCluster"), of_kind("RayJob")
    yield job["spec"]["submitterPodTemplate"]
    for ray in (cluster["spec"], job["spec"]["rayClusterSpec"]):
        yield ray["headGroupSpec"]["template"]
        yield from (group["template"] for group in ray["workerGroupSpecs"])


def containers() -> Iterator[Tree]:
    for template in pod_templates():
        yield from template["spec"]["containers"]


@functools.cache
def definition(plural: str) -> Tree:
    """Return the schema of a kind of KubeRay's, in which unknown fields are faults."""
    path = schemas() / "kuberay" / f"ray.io_{plural}.yaml.gz"
    if not path.is_file():
        pytest.skip(f"no definition of KubeRay's at {path} (set DISTRAIN_SCHEMAS)")
    crd = yaml.load(gzip.decompress(path.read_bytes()), yaml.CSafeLoader)
    [version] = [version for version in crd["spec"]["versions"] if version["name"] == "v1"]
    return strict(version["schema"]["openAPIV3Schema"])


def strict(schema: Any) -> Any:
    """Return a schema as the API server applies it: what is not listed is unknown."""
    if isinstance(schema, list):
        return [strict(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(inner) for key, inner in schema.items()}
    is_open = schema.get("x-kubernetes-preserve-unknown-fields", False)
    if isinstance(schema.get("properties"), dict) and not is_open:
        closed.setdefault("additionalProperties", False)
    return closed


def check(tree: Tree, schema: Tree) -> None:
    # Every object has these, and a definition leaves them out.
    bare = {
        key: value for key, value in tree.items() if key not in ("apiVersion", "kind", "metadata")
    }
    validate(bare, schema)


def validate(tree: Tree, schema: Tree) -> None:
    # The schemas are the project's own, and large: they are not checked themselves each time.
    jsonschema.Draft202012Validator(schema).validate(tree)


PLURALS = {"RayCluster": "rayclusters", "RayJob": "rayjobs"}


@pytest.mark.parametrize("kind", PLURALS)
def test_kuberay_s_definition_takes_it(kind: str) -> None:
    [found] = of_kind(kind)

    check(found, definition(PLURALS[kind]))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("workerGroupSpec",), []),
        (("authOptions", "mode"), "basic"),
        (("workerGroupSpecs", 1, "maxReplicas"), "many"),
        (("headGroupSpec", "template", "spec", "containers", 0, "img"), "distrain"),
        (("headGroupSpec", "rayStartParams", "num-cpus"), 0),
    ],
)
def test_kuberay_s_definition_notices_a_fault(path: tuple[Any, ...], value: Any) -> None:
    [found] = copy.deepcopy(of_kind("RayCluster"))
    place = found["spec"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value

    with pytest.raises(jsonschema.ValidationError):
        check(found, definition("rayclusters"))


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_other_pods_are_such_as_kuberay_s_are(kind: str) -> None:
    [found] = of_kind(kind)
    cluster = definition("rayclusters")["properties"]["spec"]["properties"]
    template = cluster["headGroupSpec"]["properties"]["template"]

    validate(found["spec"]["template"], template)


def test_a_job_s_ray_is_the_cluster_s() -> None:
    [cluster], [job] = of_kind("RayCluster"), of_kind("RayJob")

    assert job["spec"]["rayClusterSpec"] == cluster["spec"]


def test_a_job_trains_from_the_configuration_that_its_head_mounts() -> None:
    [job] = of_kind("RayJob")
    words = job["spec"]["entrypoint"].split()
    head = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    places = {mount["name"]: mount["mountPath"] for mount in head["containers"][0]["volumeMounts"]}

    assert words[:2] == ["distrain", "train"]
    assert words[2] == f"{places['job']}/run.yaml"
    assert f"storage={places['storage']}" in words
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["shutdownAfterJobFinishes"] is True


def test_nodes_with_a_gpu_come_and_go_and_a_token_is_asked_for() -> None:
    [cluster] = of_kind("RayCluster")
    spec = cluster["spec"]
    [gpu] = [group for group in spec["workerGroupSpecs"] if group["groupName"] == "gpu"]
    [container] = gpu["template"]["spec"]["containers"]

    assert spec["enableInTreeAutoscaling"] is True
    assert (gpu["minReplicas"], gpu["replicas"]) == (0, 0)
    assert gpu["maxReplicas"] > 0
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["rayVersion"] == locked("ray")


def test_ray_start_knows_the_parameters() -> None:
    [cluster] = of_kind("RayCluster")
    given = cluster["spec"]["headGroupSpec"]["rayStartParams"]

    values = parse(start, ["--head", *(f"--{name}={value}" for name, value in given.items())])

    assert values["num_cpus"] == 0


def test_all_seen_storage_is_the_same_on_every_node() -> None:
    [cluster] = of_kind("RayCluster")
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    mounted = [
        {
            mount["name"]: mount["mountPath"]
            for mount in group["template"]["spec"]["containers"][0]["volumeMounts"]
        }
        for group in groups
    ]

    assert {places["storage"] for places in mounted} == {"/storage"}
    [claim] = [
        claim
        for claim in of_kind("PersistentVolumeClaim")
        if claim["metadata"]["name"] == "distrain-storage"
    ]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_volumes_are_those_that_are_mounted_and_claims_exist() -> None:
    claims = {claim["metadata"]["name"] for claim in of_kind("PersistentVolumeClaim")}
    [database] = of_kind("StatefulSet")
    own = {claim["metadata"]["name"] for claim in database["spec"]["volumeClaimTemplates"]}

    for template in pod_templates():
        volumes = template["spec"].get("volumes", [])
        mounts = {
            mount["name"]
            for one in template["spec"]["containers"]
            for mount in one.get("volumeMounts", [])
        }
        named = {volume["name"] for volume in volumes}
        assert mounts in (named, own)
        used = {
            volume["persistentVolumeClaim"]["claimName"]
            for volume in volumes
            if "persistentVolumeClaim" in volume
        }
        assert used <= claims


def test_secrets_are_taken_by_reference_and_the_readme_makes_each_key() -> None:
    readme = (KUBERNETES.parent / "README.md").read_text(encoding="utf-8")
    references = [
        entry["valueFrom"]["secretKeyRef"]
        for container in containers()
        for entry in container.get("env", [])
        if "valueFrom" in entry
    ]

    assert {reference["name"] for reference in references} == {"distrain-mlflow"}
    assert "create secret generic distrain-mlflow" in readme
    made = set(re.findall(r"--from-literal=([\w-]+)=", readme))
    assert {reference["key"] for reference in references} == made


def services() -> dict[str, int]:
    return {
        found["metadata"]["name"]: found["spec"]["ports"][0]["port"] for found in of_kind("Service")
    }


def test_services_lead_to_pods_and_hosts_that_are_named_are_services() -> None:
    labels = [template["metadata"]["labels"] for template in pod_templates()]
    for service in of_kind("Service"):
        wanted = service["spec"]["selector"].items()
        assert any(wanted <= found.items() for found in labels), service["metadata"]["name"]
    words = [
        word
        for container in containers()
        for word in (
            *container.get("args", []),
            *(str(entry.get("value", "")) for entry in container.get("env", [])),
        )
    ]
    used = {
        (host, int(port))
        for word in words
        for host, port in re.findall(r"(mlflow|postgres):(\d+)", word)
    }

    assert used == set(services().items())


def test_the_mlflow_server_knows_its_options_and_asks_for_a_password() -> None:
    from mlflow.cli import server  # takes seconds to import

    [deployment] = of_kind("Deployment")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    mlflow, command, *words = container["args"]

    values = parse(server, words)

    assert (mlflow, command) == ("mlflow", "server")
    assert values["app_name"] == "basic-auth"
    assert values["port"] == services()["mlflow"]
    assert values["artifacts_destination"] == container["volumeMounts"][0]["mountPath"]
    probe = container["readinessProbe"]["httpGet"]["httpHeaders"][0]["value"]
    assert probe in values["allowed_hosts"].split(",")
    assert f"mlflow:{values['port']}" in values["allowed_hosts"].split(",")


def test_each_pod_is_reached_by_those_alone_that_need_it() -> None:
    policies = {found["metadata"]["name"]: found["spec"] for found in of_kind("NetworkPolicy")}
    labels = [template["metadata"]["labels"] for template in pod_templates()]

    for template_labels in labels:
        chosen = [
            name
            for name, spec in policies.items()
            if spec["podSelector"]["matchLabels"].items() <= template_labels.items()
        ]
        assert len(chosen) == 1, template_labels
    for spec in policies.values():
        assert spec["policyTypes"] == ["Ingress"]
        for rule in spec["ingress"]:
            assert all(peer["podSelector"]["matchLabels"] for peer in rule["from"])
    [from_mlflow] = policies["postgres"]["ingress"]
    assert from_mlflow["from"][0]["podSelector"]["matchLabels"] == {
        "app.kubernetes.io/name": "mlflow"
    }


def test_services_are_within_the_cluster_alone() -> None:
    [cluster] = of_kind("RayCluster")

    for service in of_kind("Service"):
        assert service["spec"].get("type", "ClusterIP") == "ClusterIP"
    assert cluster["spec"]["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert "enableIngress" not in cluster["spec"]["headGroupSpec"]


def test_no_container_has_more_rights_than_it_needs() -> None:
    [cluster] = of_kind("RayCluster")
    every = [*containers(), cluster["spec"]["autoscalerOptions"]]

    for container in every:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
    for template in pod_templates():
        context = template["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_no_pod_but_the_head_can_ask_the_api_server() -> None:
    for template in pod_templates():
        is_head = template["spec"]["containers"][0]["name"] == "ray-head"
        assert template["spec"].get("automountServiceAccountToken", True) is is_head


def test_images_are_pinned_and_the_package_s_own_has_its_version() -> None:
    images = {container["image"] for container in containers()}
    [kustomization] = documents(KUBERNETES / "kustomization.yaml")

    assert images == {IMAGE, "postgres:17.7-bookworm"}
    [own] = kustomization["images"]
    assert f"{own['name']}:{own['newTag']}" == IMAGE


def test_one_command_applies_all_but_the_job() -> None:
    [kustomization] = documents(KUBERNETES / "kustomization.yaml")
    [namespace] = of_kind("Namespace")

    assert set(kustomization["resources"]) == set(FILES) - {"kustomization.yaml", "rayjob.yaml"}
    assert kustomization["namespace"] == namespace["metadata"]["name"]
