"""What `kubectl kustomize` does with infra/kuberay, as far as it is used there, for machines without kubectl."""

from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]


def documents(path: Path) -> list[Manifest]:
    """The documents of a YAML file."""
    return [d for d in yaml.safe_load_all(path.read_text()) if d]


def build(folder: Path, found: list[Manifest] | None = None) -> list[Manifest]:
    """The manifests of a folder with the cluster's spec filled in. Templates, which kustomize drops, are among them.

    A component works on what the folder that includes it has `found`.
    """
    found = [] if found is None else found
    kustomization = documents(folder / "kustomization.yaml")[0]
    for name in kustomization.get("resources", []):
        path = folder / name
        found += documents(path) if path.is_file() else build(path)
    for name in kustomization.get("components", []):
        build(folder / name, found)
    for rule in kustomization.get("replacements", []):
        _replace(rule, found)
    return found


def _replace(rule: Manifest, found: list[Manifest]) -> None:
    source = next(m for m in found if m["kind"] == rule["source"]["kind"])[rule["source"]["fieldPath"]]
    for target in rule["targets"]:
        for manifest in found:
            if manifest["kind"] == target["select"]["kind"]:
                put(manifest, target["fieldPaths"][0], source)


def put(target: Manifest, dotted: str, value: Any) -> None:
    """target.a.b.c = value."""
    *parents, last = dotted.split(".")
    for name in parents:
        target = target.setdefault(name, {})
    target[last] = value
