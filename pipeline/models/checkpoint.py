"""Checkpoints: diffusers and open_clip folders, from a local path or any fsspec URI, and what names their content.

A generator folder holds model_index.json and one folder for each part:

    unet/ adapter/ fusion/ vae/     config.json + diffusion_pytorch_model.safetensors
    scheduler/                      scheduler_config.json: the noise schedule of the training
    clip/                           open_clip_config.json + open_clip_model.safetensors + tokenizer
    checksums.json                  SHA-256 and size of every weight file, so that nobody reads gigabytes again

Only safetensors are read: a pickle could execute anything.
"""

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline import storage
from pipeline.patience import StorageError
from pipeline.seeds import digest
from pipeline.settings import SettingsError

CHECKSUMS, INDEX = "checksums.json", "model_index.json"
HUB = "hf://"
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
LOADED = (".json", ".txt", ".model", ".safetensors")
VARIANT = re.compile(r"\.(fp16|fp32|bf16|non_ema|ema)\b|openvino|onnx|flax")


def fetch(uri: str, pickles: bool = False) -> Path:
    """A local folder with the checkpoint's files: the folder itself, or a copy in the cache, made once per node."""
    if storage.is_local(uri):
        return Path(storage.filesystem(uri)[1])
    target = cache_folder() / fingerprint(uri, pickles)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):  # of this node's processes one copies, the others wait
        if not target.is_dir():
            fs, path = storage.filesystem(uri)
            with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
                names = [name for name, _ in _files(uri, pickles)]
                places = [f"{temporary}/model/{name}" for name in names]
                fs.get([storage.join(path, name) for name in names], places)
                os.rename(f"{temporary}/model", target)
    return target


def wanted(names: Sequence[str], pickles: bool = False) -> list[str]:
    """Those files of a checkpoint that are loaded: of a published one the parts in the published layout, but neither
    the same weights in other forms (single files, halves, ONNX) nor pictures. Pickles only where they are trusted."""
    kinds = (*LOADED, *PICKLES) if pickles else LOADED
    found = [name for name in names if name.endswith(kinds) and not VARIANT.search(name)]
    return [name for name in found if "/" in name or name.endswith(".json") or INDEX not in names]


def fetch_planned(uri: str, expected: str) -> Path:
    """As `fetch`, for an actor. Raises StorageError if the checkpoint is not the one that the run was planned with."""
    if fingerprint(uri) != expected:
        raise StorageError(f"{uri} has changed since the run was planned; use another output=")
    return fetch(uri)


def cache_folder() -> Path:
    """Where fetched checkpoints are kept."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "batch-diffusion"


def _files(uri: str, pickles: bool) -> list[tuple[str, storage.Stored]]:
    """The files of a checkpoint by their names in it, without those that nobody will load."""
    files = {f.uri.removeprefix(uri.rstrip("/")).lstrip("/"): f for f in storage.list_objects(uri)}
    return [(name, files[name]) for name in wanted(list(files), pickles)]


def fingerprint(uri: str, pickles: bool = False) -> str:
    """Hash of a checkpoint's content: from checksums.json, else from the store's own versions, else read once."""
    if uri.startswith(HUB) and "@" not in uri:
        raise SettingsError(f"{uri}: pin the revision, as in {uri}@<commit>, or a run could not be repeated")
    files = [(name, file) for name, file in _files(uri, pickles) if name != CHECKSUMS]
    if not files:
        raise SettingsError(f"model folder {uri} is empty or does not exist")
    known = _known(uri)
    local = storage.is_local(uri)
    names = []
    for name, file in files:
        entry = known.get(name, {})
        if entry.get("size") == file.size and not (local and _newer(fetch(uri) / name, fetch(uri) / CHECKSUMS)):
            names.append(f"{name} {entry['sha256']}")
        elif local:
            names.append(f"{name} {sha256(fetch(uri) / name)}")
        else:
            names.append(f"{name} {file.version}")
    return digest(*sorted(names)).hex()


def part_with(uri: str, other: str) -> str | None:
    """The folder inside a checkpoint that holds just what another checkpoint holds; None if there is none."""
    wanted = _sizes(other)
    names = {file.uri.removeprefix(uri.rstrip("/")).lstrip("/").partition("/")[0] for file in storage.list_objects(uri)}
    parts = [name for name in sorted(names) if _sizes(storage.join(uri, name)) == wanted]  # others are never read
    return next((n for n in parts if fingerprint(storage.join(uri, n)) == fingerprint(other)), None)


def _sizes(uri: str) -> dict[str, int]:
    """Size of each file of a checkpoint by its name there."""
    files = [f for f in storage.list_objects(uri) if not f.uri.endswith(CHECKSUMS)]
    return {file.uri.removeprefix(uri.rstrip("/")): file.size for file in files}


def _newer(file: Path, sidecar: Path) -> bool:
    """Whether a file was written after the sidecar that should know it."""
    return file.stat().st_mtime > sidecar.stat().st_mtime


def _known(uri: str) -> Mapping[str, Mapping[str, Any]]:
    sidecar = storage.join(uri, CHECKSUMS)
    return storage.read_json(sidecar) if storage.stat_or_none(sidecar) else {}


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(folder: Path) -> None:
    """Write checksums.json over every file below a folder."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != CHECKSUMS)
    sums = {str(p.relative_to(folder)): {"sha256": sha256(p), "size": p.stat().st_size} for p in files}
    (folder / CHECKSUMS).write_text(json.dumps(sums, indent=1) + "\n")


def publish(folder: Path, uri: str) -> None:
    """Copy a finished model to any store, its checksums last."""
    write_checksums(folder)
    files = sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.name == CHECKSUMS)
    for file in files:
        storage.put(storage.join(uri, str(file.relative_to(folder))), file.read_bytes())


def save_generator(folder: Path, parts: Mapping[str, Any], frozen: Mapping[str, Path], **facts: str) -> None:
    """Write a generator folder from its diffusers parts (name -> object with save_pretrained) and, copied as they
    are, the folders of its frozen ones (clip, vae, space); `facts` stand in model_index.json."""
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    for name, source in frozen.items():
        shutil.copytree(source, folder / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns(CHECKSUMS))
    index = {name: [type(part).__module__.split(".")[0], type(part).__name__] for name, part in parts.items()}
    index |= {name: ["diffusers", cls] for name, source in frozen.items() if (cls := _class_name(source))}
    (folder / "model_index.json").write_text(
        json.dumps({"_diffusers_version": importlib.metadata.version("diffusers"), **index, **facts}, indent=2) + "\n"
    )
    write_checksums(folder)


def _class_name(folder: Path) -> str | None:
    """The diffusers class of a part's folder; None for an open_clip one."""
    config = folder / "config.json"
    return json.loads(config.read_text("utf-8")).get("_class_name") if config.is_file() else None


def scheduler_config(folder: Path) -> dict[str, Any]:
    """The noise schedule of a generator's training, with the name of the scheduler that it comes with."""
    path = folder / "scheduler" / "scheduler_config.json"
    if not path.is_file():
        raise SettingsError(f"model folder {folder} has no part 'scheduler'")
    return dict(json.loads(path.read_text("utf-8")))


def load_part(folder: Path, cls: Any, trust_pickle: bool = False) -> Any:
    """One part of a generator from its folder, from safetensors alone unless pickles are trusted.

    Raises SettingsError that names what is missing or does not fit.
    """
    if not folder.is_dir():
        raise SettingsError(f"model folder {folder.parent} has no part {folder.name!r}")
    safe = None if trust_pickle else True
    try:
        part = cls.from_pretrained(str(folder), use_safetensors=safe, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise SettingsError(f"{folder} cannot be loaded as {cls.__name__}: {error}") from error
    if missing := [name for name, value in part.named_parameters() if value.is_meta]:
        raise SettingsError(f"{folder} lacks weights of {cls.__name__}: {', '.join(missing[:3])} and so on")
    return part
