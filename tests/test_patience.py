"""A store that breaks, between us and a real one: what is tried again, and how a store that stays broken is named."""

import pytest
import tenacity
from botocore.exceptions import ClientError
from s3fs import S3FileSystem

from pipeline import storage
from pipeline.patience import StorageError, status
from tests.proxy import KINDS, Fault, Proxy
from tests.s3 import free_port

DATA = bytes(range(256)) * 4000


@pytest.mark.parametrize("kind", KINDS)
def test_what_passes_by_is_survived(proxy: Proxy, s3: str, kind: str) -> None:
    uri = f"{s3}/patience/{kind}"
    for method in ("PUT", "HEAD", "GET"):
        proxy.faults = [Fault(kind, method, kind, times=1)]
        if method == "PUT":
            assert storage.put_new(uri, DATA) == (kind != "lost_answer")  # then the object is our own
        elif method == "HEAD":
            assert storage.stat(uri).size == len(DATA)
        else:
            assert storage.read(uri) == DATA
        assert proxy.faults[0].struck
    proxy.faults = [Fault(kind, "GET", "list-type", times=1)]
    assert [o.uri for o in storage.list_objects(uri.rpartition("/")[0]) if kind in o.uri] == [uri]


def test_a_store_that_keeps_refusing_is_named(proxy: Proxy, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert storage.read.retry.wait(tenacity.RetryCallState(storage.read.retry, None, (), {})) == 1  # second, at first
    monkeypatch.setattr(storage.read.retry, "wait", tenacity.wait_none())
    proxy.faults = [Fault("ExpiredToken", "GET", "refused", times=1000)]
    storage.put(f"{s3}/patience/refused", DATA)
    with pytest.raises(StorageError, match=r"cannot read s3://.*refused: the store refuses access; check the AWS_"):
        storage.read(f"{s3}/patience/refused")
    assert proxy.faults[0].struck == 4


def test_a_store_that_does_not_answer_is_named(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    once = {"retries": {"mode": "legacy", "max_attempts": 1}}  # not seven times, which takes a minute
    monkeypatch.setitem(storage.S3, "config_kwargs", once)
    S3FileSystem.clear_instance_cache()
    with pytest.raises(
        StorageError, match=r"cannot read s3://.*gone: the store does not answer \(Could not connect.*URL"
    ):
        storage.read(f"{s3}/patience/gone")
    S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize(("store", "second"), [("kept", b"1"), ("ignored", b"2"), ("refused", b"1")])
def test_a_store_without_create_only_puts_is_noticed(proxy: Proxy, s3: str, store: str, second: bytes) -> None:
    uri = f"{s3}/patience/create-{store}"
    proxy.create_only = store
    assert storage.creates_only(uri) == (store == "kept")
    assert storage.list_objects(uri) == []  # the probe is gone
    assert storage.put_new(f"{uri}/one", b"1")
    assert storage.put_new(f"{uri}/one", b"2") == (store == "ignored")
    assert storage.read(f"{uri}/one") == second


def test_status_is_found_behind_wrapped_errors() -> None:
    wrapped = StorageError("cannot write")
    wrapped.__cause__ = OSError("precondition")
    wrapped.__cause__.__cause__ = ClientError({"ResponseMetadata": {"HTTPStatusCode": 412}}, "PutObject")
    assert status(wrapped) == 412
    assert status(OSError("of a local disk")) == 0
