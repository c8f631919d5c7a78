"""docker/kubernetes/: what can be said of the values and of the pod templates without a cluster and without Helm."""

import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from stillhouse.tasks.local_stack.servers import POOLS
from stillhouse.tasks.pipeline.stages import KINDS

FOLDER = Path(__file__).resolve().parent.parent / "docker" / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))
VALUES: dict[str, Any] = yaml.safe_load((FOLDER / "values.yaml").read_text(encoding="utf-8"))
SETS: list[dict[str, Any]] = VALUES["workers"]["celery"]["sets"]
TEMPLATES: dict[str, dict[str, Any]] = {
    queue: yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    for queue, name in {
        "cpu": "pod_template.yaml",
        "train": "pod_template_train.yaml",
        "measure": "pod_template_measure.yaml",
    }.items()
}
QUEUES = {getattr(kind, "queue", "") for kind in KINDS.values()} - {""} or {"cpu", "train", "measure"}
SECRET = re.compile(r"passw|secret|token|fernet|access_key|connection$|\bpass$", re.IGNORECASE)
NAMES_A_SECRET = re.compile(r"secretName|SecretName|secretRef|secretKeyRef|SIMPLE_AUTH_MANAGER_PASSWORDS_FILE")
each_template = pytest.mark.parametrize("queue", TEMPLATES)


def leaves(part: object, path: str = "") -> dict[str, object]:
    """Path of each scalar -> the scalar."""
    if isinstance(part, dict):
        return {name: leaf for key, value in part.items() for name, leaf in leaves(value, f"{path}/{key}").items()}
    if isinstance(part, list):
        return leaves(dict(enumerate(part)), path)
    return {path: part}


def base_of(queue: str) -> dict[str, Any]:
    """The container of the task."""
    (container,) = TEMPLATES[queue]["spec"]["containers"]
    return container


def test_every_queue_of_a_stage_has_workers_and_a_template() -> None:
    """Workers, pod templates and stages have the same queues, and so have the tasks that name none."""
    assert {each["queue"] for each in SETS} == {each["name"] for each in SETS} == set(TEMPLATES) == QUEUES
    assert VALUES["workers"]["celery"]["enableDefault"] is False
    assert environment()["AIRFLOW__OPERATORS__DEFAULT_QUEUE"] in QUEUES


def environment() -> dict[str, str]:
    """The variables of every container that are no secret."""
    found: dict[str, str] = yaml.safe_load(VALUES["extraConfigMaps"]["stillhouse-environment"]["data"])
    return found


def test_a_task_gets_the_template_of_its_queue() -> None:
    """The policy sets the file of the queues that need another pod than the default. Other tasks stay as they are."""
    scope: dict[str, Any] = {}
    exec(VALUES["airflowLocalSettings"], scope)  # noqa: S102 - our own file, which Airflow runs too
    default = VALUES["config"]["kubernetes_executor"]["pod_template_file"]
    mount = VALUES["scheduler"]["extraVolumeMounts"][0]["mountPath"]
    chosen = {}
    for queue in QUEUES:
        task = SimpleNamespace(queue=queue, executor_config={})
        scope["task_policy"](task)
        chosen[queue] = task.executor_config.get("pod_template_file", default)
    assert chosen == {queue: f"{mount}/{queue}.yaml" for queue in QUEUES}


@each_template
def test_a_template_has_the_container_that_airflow_looks_for(queue: str) -> None:
    """The first container is `base`, Airflow sets its arguments, and a failed pod does not start again."""
    template, base = TEMPLATES[queue], base_of(queue)
    assert (template["apiVersion"], template["kind"], base["name"]) == ("v1", "Pod", "base")
    assert "args" not in base
    assert template["spec"]["restartPolicy"] == "Never"
    assert template["spec"]["automountServiceAccountToken"] is False


@each_template
def test_a_template_runs_as_the_values_say(queue: str) -> None:
    """User, rights, image and variables are those of the chart's containers: no root, and a read-only image."""
    spec, base, image = TEMPLATES[queue]["spec"], base_of(queue), VALUES["images"]["airflow"]
    assert spec["securityContext"] == VALUES["securityContexts"]["pod"]
    assert base["securityContext"] == VALUES["securityContexts"]["containers"]
    assert base["image"] == f"{image['repository']}:{image['tag']}"
    assert base["envFrom"] == yaml.safe_load(VALUES["extraEnvFrom"])
    assert [mount for mount in VALUES["volumeMounts"] if mount not in base["volumeMounts"]] == []


def test_no_container_is_root_or_writes_to_its_image() -> None:
    """The chart's own security contexts, which each part without others takes, leave no rights."""
    pod, container = VALUES["securityContexts"]["pod"], VALUES["securityContexts"]["containers"]
    assert pod["runAsNonRoot"] is container["runAsNonRoot"] is container["readOnlyRootFilesystem"] is True
    assert pod["runAsUser"] == VALUES["uid"] == 10001
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert [path for path in leaves(VALUES) if path.endswith(("runAsUser", "privileged"))] == [
        "/securityContexts/pod/runAsUser"
    ]


def test_the_templates_differ_where_the_queues_do() -> None:
    """The queue's label, its threads, its resources and its nodes differ. All else is the same in each template."""
    differing = re.compile(r"/metadata/labels/|/env/1/value|/resources/|/spec/(?:nodeSelector|tolerations)")
    rest = [
        {path: leaf for path, leaf in leaves(template).items() if not differing.search(path)}
        for template in TEMPLATES.values()
    ]
    assert rest[0] == rest[1] == rest[2]
    assert {queue: template["metadata"]["labels"]["stillhouse/queue"] for queue, template in TEMPLATES.items()} == {
        queue: queue for queue in TEMPLATES
    }


@each_template
def test_both_executors_give_a_queue_the_same_resources(queue: str) -> None:
    """A worker's set and the pod template of a queue agree, and each names requests and limits."""
    (workers,) = [each for each in SETS if each["queue"] == queue]
    assert workers["resources"] == base_of(queue)["resources"]
    assert all({"cpu", "memory"} <= set(workers["resources"][kind]) for kind in ("requests", "limits"))


def test_measurements_run_alone_on_whole_processors() -> None:
    """One task at a time, and requests equal to limits, so that Kubernetes can reserve the processors."""
    (measure,) = [each for each in SETS if each["queue"] == "measure"]
    assert {"name": "AIRFLOW__CELERY__WORKER_CONCURRENCY", "value": "1"} in measure["env"]
    assert measure["replicas"] == 1
    assert measure["resources"]["requests"] == measure["resources"]["limits"]
    assert measure["resources"]["limits"]["cpu"].isdecimal()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_secret_value_is_in_a_file(path: Path) -> None:
    """What sounds like a secret is the name of a Secret, or a switch."""
    found = leaves(yaml.safe_load(path.read_text(encoding="utf-8")))
    given = {
        name: leaf
        for name, leaf in (found | {f"/environment/{name}": value for name, value in environment().items()}).items()
        if SECRET.search(name.rpartition("/")[2]) and not NAMES_A_SECRET.search(name) and not isinstance(leaf, bool)
    }
    assert given == {}
    assert not re.search(r"://[^/\s@]*:[^/\s@]*@|PRIVATE KEY|AKIA", path.read_text(encoding="utf-8"))


def test_the_chart_makes_no_secret_and_no_server() -> None:
    """Each key for which the chart would invent a value names a Secret, and databases and queue are elsewhere."""
    assert all(VALUES["data"].values())
    assert all(VALUES[name] for name in ("fernetKeySecretName", "apiSecretKeySecretName", "jwtSecretName"))
    assert not any(VALUES[name]["enabled"] for name in ("postgresql", "redis", "pgbouncer", "statsd", "flower"))
    assert VALUES["createUserJob"]["enabled"] is False


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_image_has_a_fixed_tag(path: Path) -> None:
    """No image is `latest`, and none is without a tag."""
    found = leaves(yaml.safe_load(path.read_text(encoding="utf-8")))
    tags = [str(leaf).rpartition(":")[2] for name, leaf in found.items() if name.endswith(("/image", "/tag"))]
    assert tags
    assert [tag for tag in tags if not re.fullmatch(r"\d+(\.\d+)+", tag)] == []


def test_strangers_reach_neither_logs_nor_the_api() -> None:
    """Network policies are on, and the API server takes only pods of this release, whose label the templates have."""
    assert VALUES["networkPolicies"]["enabled"] is True
    (source,) = VALUES["apiServer"]["networkPolicy"]["ingress"]["from"]
    labels = source["podSelector"]["matchLabels"]
    assert all(labels.items() <= template["metadata"]["labels"].items() for template in TEMPLATES.values())


def test_the_start_script_and_the_pools_are_those_of_the_project() -> None:
    """The shell reads the scripts without a fault, and the migration makes the pools that the DAGs name."""
    scripts = [VALUES["scheduler"]["command"][2], VALUES["migrateDatabaseJob"]["args"][0], base_of("cpu")["command"][2]]
    for script in scripts:
        assert subprocess.run(["sh", "-n", "-c", script], check=False).returncode == 0
    made = dict(re.findall(r'^pool (\w+) \d+ "(.*)"$', scripts[1], re.MULTILINE))
    assert made == {name: description for name, (_, description) in POOLS.items()}
    parts = ("scheduler", "dagProcessor", "triggerer", "apiServer")
    assert all(VALUES[part]["command"] == VALUES["workers"]["celery"]["command"] for part in parts)
