import hashlib
import os
import threading
from pathlib import Path

import pytest

from pipeline import storage
from pipeline.patience import StorageError
from tests import tiny

BOTH = pytest.mark.parametrize("place", ["local", "s3"], indirect=True)


@BOTH
def test_put_new_never_replaces(place: str) -> None:
    uri = storage.join(place, "data", "a.parquet")
    assert storage.put_new(uri, b"first")
    assert not storage.put_new(uri, b"second")
    assert storage.read(uri) == b"first"


@BOTH
def test_of_many_writers_exactly_one_wins(place: str) -> None:
    uri = storage.join(place, "race", "plan.json")
    won: list[int] = []
    threads = [
        threading.Thread(target=lambda k=k: won.append(k) if storage.put_new(uri, str(k).encode()) else None)
        for k in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert storage.read(uri) == str(won[0]).encode()


@BOTH
def test_list_finds_objects_by_suffix_and_never_folders(place: str) -> None:
    assert storage.list_objects(storage.join(place, "list")) == []
    for name in ("b.parquet", "a.parquet", "deep/c.parquet", "note.txt"):
        storage.put_new(storage.join(place, "list", name), name.encode())
    found = storage.list_objects(storage.join(place, "list"), ".parquet")
    assert [o.uri.removeprefix(place) for o in found] == [
        f"/list/{n}" for n in ("a.parquet", "b.parquet", "deep/c.parquet")
    ]
    assert all(storage.read(o.uri).decode() == o.uri.split("/list/")[1] for o in found)
    assert [o.size for o in found] == [9, 9, 14]


@BOTH
def test_a_deleted_object_leaves_nothing_that_looks_like_data(place: str) -> None:
    uri = storage.join(place, "gone", "x.parquet")
    storage.put_new(uri, b"x")
    storage.remove(uri)
    assert storage.list_objects(storage.join(place, "gone")) == []
    assert storage.stat_or_none(storage.join(place, "gone")) is None
    assert storage.put_new(uri, b"again")


@BOTH
def test_version_changes_with_content(place: str) -> None:
    uri = storage.join(place, "version")
    storage.put(uri, b"one")
    before = storage.stat(uri)
    storage.put(uri, b"two")
    assert before.size == storage.stat(uri).size
    assert before.version != storage.stat(uri).version


@BOTH
def test_a_missing_object_is_named(place: str) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        storage.read(storage.join(place, "nowhere"))
    with pytest.raises(StorageError, match="nowhere"):
        storage.stat(storage.join(place, "nowhere"))


@BOTH
def test_bytes_that_are_no_parquet_are_named(place: str) -> None:
    uri = storage.join(place, "broken.parquet")
    storage.put(uri, b"not parquet at all")
    with pytest.raises(StorageError, match="broken.parquet"), storage.open_parquet(uri):
        pass


@BOTH
def test_globs_and_folders_name_objects(place: str) -> None:
    for name in ("in/x-1.parquet", "in/x-2.parquet", "in/y.parquet"):
        storage.put_new(storage.join(place, name), b"..")
    assert [o.uri[-11:] for o in storage.match_objects(f"{place}/in/x-*.parquet", ".parquet")] == [
        "x-1.parquet",
        "x-2.parquet",
    ]
    assert len(storage.match_objects(f"{place}/in", ".parquet")) == 3
    assert len(storage.match_objects(f"{place}/in/y.parquet", ".parquet")) == 1


def test_no_temporary_file_is_left_and_modes_follow_the_mask(tmp_path: Path) -> None:
    storage.put_new(str(tmp_path / "a"), b"1")
    storage.put_new(str(tmp_path / "a"), b"2")
    storage.put(str(tmp_path / "b"), b"3")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~mask


def test_unknown_protocol_is_named() -> None:
    with pytest.raises(StorageError, match="nosuch"):
        storage.filesystem("nosuch://bucket/key")


def test_relative_paths_become_absolute_and_uris_stay() -> None:
    assert storage.absolute("out", "/base/x") == "/base/x/out"
    assert storage.absolute("s3://bucket/out") == "s3://bucket/out"
    assert storage.absolute("starter:judge") == "starter:judge"


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    assert storage.stat_or_none(f"{tmp_path}/out/plan/plan.json") is None
    with pytest.raises(StorageError, match=r"cannot write .*out/plan/plan.json"):
        storage.put_new(f"{tmp_path}/out/plan/plan.json", b"{}")


def test_what_the_package_carries_is_known_by_its_content() -> None:
    path = "starter:samples/openmoji.parquet"
    assert storage.stat(path).version == hashlib.sha256(storage.read(path)).hexdigest()


def test_damaged_parquet_is_named(tmp_path: Path) -> None:
    whole = tiny.write(tmp_path / "a.parquet", tiny.rows(1)).read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[:-200] + bytes(180) + whole[-20:])
    with (
        pytest.raises(StorageError, match="not a readable Parquet file"),
        storage.open_parquet(f"{tmp_path}/b.parquet"),
    ):
        pass
