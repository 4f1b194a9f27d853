"""examples/: what describes a Ray cluster is valid by Ray's, Kubernetes' and KubeRay's rules, and runs our commands."""

import shlex
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from search.run import app as run
from tests.command import call
from tests.docker.services import ROOT, read_services

EXAMPLES = ROOT / "examples"
KUBERNETES = "1.33"
"""Version of Kubernetes whose schemas are used, from the package kubernetes-validate."""

COUNT = {"type": "integer", "minimum": 0}
GROUP: dict[str, Any] = {
    "type": "object",
    "required": ["rayStartParams", "template"],
    "additionalProperties": False,
    "properties": {
        "rayStartParams": {"type": "object", "additionalProperties": {"type": "string"}},
        "template": {"type": "object"},
    },
}
WORKERS: dict[str, Any] = {
    **GROUP,
    "required": ["groupName", *GROUP["required"]],
    "properties": {
        **GROUP["properties"], "groupName": {"type": "string"},
        "replicas": COUNT, "minReplicas": COUNT, "maxReplicas": COUNT,
    },
}  # fmt: skip
RAY_JOB: dict[str, Any] = {
    "type": "object",
    "required": ["entrypoint", "rayClusterSpec"],
    "additionalProperties": False,
    "properties": {
        "entrypoint": {"type": "string"},
        "backoffLimit": COUNT,
        "shutdownAfterJobFinishes": {"type": "boolean"},
        "ttlSecondsAfterFinished": COUNT,
        "rayClusterSpec": {
            "type": "object",
            "required": ["headGroupSpec"],
            "additionalProperties": False,
            "properties": {
                "rayVersion": {"type": "string"},
                "headGroupSpec": GROUP,
                "workerGroupSpecs": {"type": "array", "items": WORKERS},
            },
        },
    },
}
"""The fields of KubeRay's RayJob (ray.io/v1, RayJobSpec and RayClusterSpec of its API reference) that we use."""


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((EXAMPLES / "kubernetes" / name).read_text(encoding="utf-8")))


def ray_job() -> dict[str, Any]:
    (job,) = [entry for entry in documents("rayjob.yaml") if entry["kind"] == "RayJob"]
    return job


def pod_templates() -> list[dict[str, Any]]:
    cluster = ray_job()["spec"]["rayClusterSpec"]
    return [group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]


def validate_ray_cluster(config: dict[str, Any]) -> None:
    """Do what `ray up` does first."""
    validate_config(prepare_config(config))


def test_the_ray_cluster_is_valid() -> None:
    config = yaml.safe_load((EXAMPLES / "ray-cluster.yaml").read_text(encoding="utf-8"))
    validate_ray_cluster(config)
    with pytest.raises(jsonschema.ValidationError):
        validate_ray_cluster({**config, "head_commands": []})


@pytest.mark.parametrize("name", ["database.yaml", "rayjob.yaml"])
def test_objects_of_kubernetes_are_valid(name: str) -> None:
    own = [entry for entry in documents(name) if not entry["apiVersion"].startswith("ray.io")]
    assert own
    for entry in own:
        kubernetes_validate.validate(entry, KUBERNETES, strict=True)


def test_the_ray_job_is_valid() -> None:
    job = ray_job()
    assert (job["apiVersion"], sorted(job)) == ("ray.io/v1", ["apiVersion", "kind", "metadata", "spec"])
    jsonschema.validate(job["spec"], RAY_JOB)
    for template in pod_templates():
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pod"}, "template": template}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)
        pod["template"] = {"spec": {**template["spec"], "container": []}}
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def test_ray_of_the_cluster_is_ours() -> None:
    assert ray_job()["spec"]["rayClusterSpec"]["rayVersion"] == ray.__version__


def test_claims_secrets_and_services_that_are_named_are_there() -> None:
    entries = [*documents("database.yaml"), *documents("rayjob.yaml")]
    names = {(entry["kind"], entry["metadata"]["name"]) for entry in entries}
    claims = {
        volume["persistentVolumeClaim"]["claimName"]
        for template in pod_templates()
        for volume in template["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert {("PersistentVolumeClaim", claim) for claim in claims} <= names
    host = ray_job()["spec"]["entrypoint"].partition("skipsearch@")[2].partition("/")[0]
    assert ("Service", host) in names


def test_head_and_workers_share_the_folder_of_the_run() -> None:
    for template in pod_templates():
        (container,) = template["spec"]["containers"]
        assert {"name": "runs", "mountPath": "/runs"} in container["volumeMounts"]
        assert container["image"] == read_services()["search"].image


def test_the_search_of_the_job_can_run(tmp_path: Path) -> None:
    words = shlex.split(ray_job()["spec"]["entrypoint"].replace("/runs", str(tmp_path)))
    assert words[:2] == ["skipsearch", "run"]
    done = call(run, *words[2:], "--dry-run", f"--storage=sqlite:///{tmp_path}/search.db", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
