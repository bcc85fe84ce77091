"""infra/: manifests against the published schemas, commands against conf/, versions, the nightly script, policies."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from omegaconf import OmegaConf
from referencing import Registry, Resource

from jobs.cli import compose_config
from tests.kustomize import Manifest, build, documents, put

ROOT = Path(__file__).resolve().parent.parent
KUBERAY = ROOT / "infra/kuberay"
BUILDS = [".", "standing", "generate", "train", "evaluate", "raycronjob"]  # what README applies
SCHEMAS = {p.name: json.loads(p.read_text()) for p in (ROOT / "tests/schemas").glob("*.json")}
REGISTRY: Registry = Registry().with_resources((n, Resource.from_contents(s)) for n, s in SCHEMAS.items())
VERSIONS = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))


def validator(manifest: Manifest) -> Draft202012Validator:
    file = "kuberay.json" if manifest["apiVersion"].startswith("ray.io/") else "kubernetes.json"
    return Draft202012Validator({"$ref": f"{file}#/$defs/{manifest['kind']}"}, registry=REGISTRY)


def clusters(manifest: Manifest) -> Iterator[Manifest]:
    spec = manifest.get("spec", {})
    spec = spec.get("jobTemplate", spec)
    if "headGroupSpec" in spec or "rayClusterSpec" in spec:
        yield spec.get("rayClusterSpec", spec)


@pytest.mark.parametrize("folder", BUILDS)
def test_manifests_are_what_the_schemas_allow(folder: str) -> None:
    manifests = build(KUBERAY / folder)
    assert manifests
    for manifest in manifests:
        validator(manifest).validate(manifest)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("spec.entryPoint", "python"),
        ("spec.submissionMode", "K8sJob"),
        ("spec.rayClusterSpec.headGroupSpec.template.spec.containers", [{"name": "ray-head", "envForm": []}]),
        ("spec.rayClusterSpec.autoscalerOptions.version", "2"),
        ("spec.backoffLimit", "1"),
    ],
)
def test_schemas_catch_what_is_misspelt(key: str, value: Any) -> None:
    job = next(m for m in build(KUBERAY / "generate") if m["kind"] == "RayJob")
    put(job, key, value)
    with pytest.raises(ValidationError):
        validator(job).validate(job)


@pytest.mark.parametrize("folder", BUILDS[1:])
def test_clusters_keep_the_operators_rules(folder: str) -> None:
    """What KubeRay refuses without its schemas saying so, and what makes spot nodes safe."""
    for manifest in build(KUBERAY / folder):
        for cluster in clusters(manifest):
            assert cluster["rayVersion"] == VERSIONS["ray"]
            assert cluster["autoscalerOptions"]["version"] == "v2"  # else `priority` is refused
            assert cluster["headGroupSpec"]["labels"]["ray.io/market-type"] == "on-demand"
            assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
            groups = {g["groupName"]: g for g in cluster["workerGroupSpecs"]}
            assert groups["gpu-spot"]["priority"] > groups["gpu-on-demand"]["priority"]
            assert all(g["minReplicas"] <= g["replicas"] <= g["maxReplicas"] for g in groups.values())
        if manifest["kind"] == "RayJob":
            assert len(manifest["metadata"]["name"]) <= 47
            assert manifest["spec"]["shutdownAfterJobFinishes"]  # else ttlSecondsAfterFinished is refused


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl has kustomize in it")
@pytest.mark.parametrize("folder", BUILDS)
def test_kustomize_builds_the_same(folder: str) -> None:
    done = subprocess.run(["kubectl", "kustomize", str(KUBERAY / folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = {(m["kind"], m["metadata"]["name"]): m.get("spec") for m in build(KUBERAY / folder)}
    for manifest in yaml.safe_load_all(done.stdout):
        if manifest["kind"] != "ConfigMap":
            assert manifest.get("spec") == expected[manifest["kind"], manifest["metadata"]["name"]]


def mounted(target: Path) -> Path:
    """The nightly pod's /manifests: the ConfigMap's files where its volume puts them."""
    files = documents(KUBERAY / "kustomization.yaml")[0]["configMapGenerator"][0]["files"]
    sources = {f.split("=")[0]: KUBERAY / f.split("=")[-1] for f in files}
    cronjob = next(m for m in documents(KUBERAY / "cronjob.yaml") if m["kind"] == "CronJob")
    volume = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"][0]
    items = volume["configMap"]["items"]
    assert {i["key"] for i in items} == set(sources)
    for item in items:
        path = target / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sources[item["key"]], path)
    return target


KUBECTL = """#!/bin/sh
echo "$@" >> "$STATE/calls"
case "$1 $2" in
"create -k") cp -R "$3/.." "$STATE/created" ;;
"get rayjob") test -d "$STATE/created" && echo "$ENDS" ;;
esac
"""


@pytest.mark.parametrize(("ends", "code", "last"), [("Complete", 0, "delete "), ("Failed", 1, "get ")])
def test_the_nightly_script_starts_one_dated_job_and_waits(tmp_path: Path, ends: str, code: int, last: str) -> None:
    manifests = mounted(tmp_path / "manifests")
    (tmp_path / "kubectl").write_text(KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "STATE": str(tmp_path),
        "ENDS": ends,
        "JOB_NAME": "nightly-1",
        "TMPDIR": str(tmp_path),
    }
    for _ in range(2):  # a second pod of the same Job finds what the first began
        done = subprocess.run(["sh", str(manifests / "nightly.sh")], env=environment, capture_output=True, timeout=60)
        assert done.returncode == code, done.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    assert all("nightly-1" in c for c in calls if not c.startswith("create"))
    assert sum(c.startswith("create") for c in calls) == 1
    assert calls[-1].startswith(last)
    job = next(m for m in build(tmp_path / "created/generate") if m["kind"] == "RayJob")
    validator(job).validate(job)
    assert job["metadata"]["name"] == "nightly-1"
    assert re.search(r"output=s3://corpus/runs/\d{4}-\d\d-\d\d '", job["spec"]["entrypoint"])


def commands() -> Iterator[str]:
    for path in sorted(KUBERAY.rglob("*.yaml")):
        for manifest in documents(path):
            if "entrypoint" in manifest.get("spec", {}):
                yield manifest["spec"]["entrypoint"]
    yield from re.findall(r"^ +(python jobs/.*)$", (ROOT / "infra/README.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("command", list(commands()))
def test_commands_parse(command: str) -> None:
    python, script, *arguments = shlex.split(command.replace("$(date +%F)", "2026-11-21"))
    assert python == "python"
    assert (ROOT / script).is_file()
    config = compose_config(Path(script).stem, arguments)
    OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


def test_all_three_jobs_are_there() -> None:
    jobs = {shlex.split(c)[1] for c in commands()}
    assert {"jobs/generate.py", "jobs/train.py", "jobs/evaluate.py"} <= jobs


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_images_install_what_the_project_is_tested_with(name: str) -> None:
    text = (ROOT / f"infra/docker/Dockerfile.{name}").read_text()
    assert f"ARG RAY_VERSION={VERSIONS['ray']}\n" in text
    assert re.findall(r"uv==[\d.]+", text) == re.findall(r"uv==[\d.]+", (ROOT / "Makefile").read_text())
    assert text.count("uv pip install") == 2
    copied = {name for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for name in line.split()}
    ignored = (ROOT / ".dockerignore").read_text()
    assert all((ROOT / name).exists() and f"!{name}\n" in ignored for name in copied)
    assert "://" not in text  # no address of an index or a registry


def statements() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((ROOT / "infra/s3/policy.json").read_text())["Statement"]
    return found


def test_the_policy_allows_what_jobs_do_and_no_more() -> None:
    allowed: dict[str, set[str]] = {}
    for statement in statements():
        assert statement["Effect"] == "Allow"
        actions, resources = ([v] if isinstance(v, str) else v for v in (statement["Action"], statement["Resource"]))
        for action in actions:
            allowed.setdefault(action, set()).update(r.removeprefix("arn:aws:s3:::corpus") for r in resources)
    runs = {f"/runs/*/{name}" for name in ("attempts/*", "data/*", "_SUCCESS", "checkpoints/*")}
    assert allowed == {
        "s3:ListBucket": {""},
        "s3:GetObject": {"/inputs/*", "/models/*", "/runs/*"},
        "s3:PutObject": {"/runs/*"},
        "s3:AbortMultipartUpload": {"/runs/*"},
        "s3:DeleteObject": runs,
    }
    listing = next(s for s in statements() if s["Action"] == "s3:ListBucket")["Condition"]
    assert listing == {"StringLikeIfExists": {"s3:prefix": ["inputs/*", "models/*", "runs/*"]}}


def test_parts_of_uploads_do_not_stay() -> None:
    [rule] = json.loads((ROOT / "infra/s3/lifecycle.json").read_text())["Rules"]
    assert rule["Status"] == "Enabled"
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert set(rule) == {"ID", "Status", "Filter", "AbortIncompleteMultipartUpload"}  # nothing else expires
