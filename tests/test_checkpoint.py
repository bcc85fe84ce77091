import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from diffusers import UNet2DConditionModel

from pipeline import storage
from pipeline.models import checkpoint, names
from pipeline.settings import SettingsError
from tests import hub, parity

Models = dict[str, str]


def test_a_fingerprint_names_content_and_not_place(models: Models, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(models["path"], copy)
    assert checkpoint.fingerprint(str(copy)) == checkpoint.fingerprint(models["path"])
    assert checkpoint.fingerprint(models["judge"]) != checkpoint.fingerprint(models["path"])


def test_it_is_the_same_with_and_without_the_sidecar(models: Models, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(models["judge"], copy)
    (copy / "checksums.json").unlink()
    assert checkpoint.fingerprint(str(copy)) == checkpoint.fingerprint(models["judge"])


def test_other_content_is_another_fingerprint(models: Models, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(models["judge"], copy)
    (copy / "open_clip_config.json").write_text((copy / "open_clip_config.json").read_text() + "\n")
    assert checkpoint.fingerprint(str(copy)) != checkpoint.fingerprint(models["judge"])


def test_a_checkpoint_on_s3_is_fetched_once(
    models: Models, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = Path(models["judge"])
    for file in source.iterdir():
        storage.put_new(f"{s3}/judge/{file.name}", file.read_bytes())
    fetched = checkpoint.fetch(f"{s3}/judge")
    assert {f.name: f.read_bytes() for f in fetched.iterdir()} == {f.name: f.read_bytes() for f in source.iterdir()}
    assert checkpoint.fingerprint(f"{s3}/judge") == checkpoint.fingerprint(models["judge"])
    (fetched / "mark").touch()
    assert (checkpoint.fetch(f"{s3}/judge") / "mark").exists()


def test_a_folder_loads_in_diffusers_without_us(models: Models) -> None:
    folder = Path(models["path"])
    assert UNet2DConditionModel.from_pretrained(folder / "unet").config.sample_size == 8
    index = json.loads((folder / "model_index.json").read_text())
    assert index["unet"] == ["diffusers", "UNet2DConditionModel"]
    assert not list(folder.rglob("*.bin"))


def test_what_is_missing_or_wrong_is_named(models: Models, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is empty or does not exist"):
        checkpoint.fingerprint(str(tmp_path / "nowhere"))
    with pytest.raises(SettingsError, match="has no part 'unet'"):
        checkpoint.load_part(tmp_path / "unet", UNet2DConditionModel)
    copy = tmp_path / "copy"
    shutil.copytree(models["path"], copy)
    (copy / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"broken")
    with pytest.raises(SettingsError, match="unet cannot be loaded as UNet2DConditionModel"):
        checkpoint.load_part(copy / "unet", UNet2DConditionModel)


def test_a_revision_on_the_hub_is_fetched_without_what_nobody_loads(tmp_path: Path) -> None:
    folder = tmp_path / "there"
    shutil.copytree(parity.folder("stable_diffusion"), folder)
    loaded = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    for name in ("README.md", "v1-5.ckpt", "v1-5.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors"):
        (folder / name).write_bytes(b"not for us")
    script = "from pipeline.models import checkpoint as c; import sys; print(c.fetch(sys.argv[1]))"
    with hub.hub(folder) as address:
        variables = {**os.environ, "HF_ENDPOINT": address, "XDG_CACHE_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
        command = [sys.executable, "-c", script, f"hf://{hub.REPO}@{hub.COMMIT}"]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    fetched = Path(done.stdout.strip())
    assert {str(path.relative_to(fetched)) for path in fetched.rglob("*") if path.is_file()} == loaded
    assert all((fetched / name).read_bytes() == (folder / name).read_bytes() for name in loaded)


def test_open_clips_own_names_are_places_on_the_hub() -> None:
    place = names.place("open_clip:ViT-B-32/laion2b_s34b_b79k@abc")
    assert place == "hf://laion/CLIP-ViT-B-32-laion2B-s34B-b79K@abc"
    assert names.place("s3://models/clip") == "s3://models/clip"
    with pytest.raises(SettingsError, match=r"knows no ViT-B-32/mine; it knows .*ViT-B-32/openai"):
        names.place("open_clip:ViT-B-32/mine@abc")
    with pytest.raises(SettingsError, match=r"it knows .*ViT-L-14"):
        names.place("open_clip:ViTB32")


def test_a_revision_on_the_hub_must_be_pinned() -> None:
    with pytest.raises(SettingsError, match="pin the revision"):
        checkpoint.fingerprint(f"hf://{hub.REPO}")
