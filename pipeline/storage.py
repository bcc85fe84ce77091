"""One way to every store: URI -> fsspec filesystem; list, read, and put an object that did not exist before.

Objects are put whole or not at all. On S3 a create-only put is `If-None-Match: *`; on a local disk it is
`os.link` of a fsynced temporary file, since a rename would overwrite. Filesystems are built where they are
used, never pickled: a pickled one would carry the secret key.
"""

import contextlib
import dataclasses
import glob
import hashlib
import io
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from pyarrow import csv

from pipeline.patience import StorageError, explained, patiently, status


@dataclasses.dataclass(frozen=True)
class Stored:
    """One object as its store lists it. `version` changes when its content does (etag, else size and mtime)."""

    uri: str
    size: int
    version: str


# botocore's "standard" mode has a quota that one long outage uses up for the life of the process: "legacy" has none.
S3 = {"use_listings_cache": False, "config_kwargs": {"retries": {"mode": "legacy", "max_attempts": 7}}}

PRECONDITION_FAILED, NOT_IMPLEMENTED = 412, 501  # the object exists; the store knows no If-None-Match
STARTER = "starter:"  # names what the package itself carries, wherever each process has it installed


def filesystem(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The filesystem of a URI and the path inside it. Plain paths are local; AWS_* variables rule s3://.

    Listings are never cached: other processes write the same prefixes.
    """
    if uri.startswith(STARTER):
        uri = str(Path(__file__).parent / "starter" / uri.removeprefix(STARTER))
    protocol, _, _ = uri.partition("://") if "://" in uri else ("file", "", "")
    try:
        options: dict[str, Any] = S3 if protocol == "s3" else {}
        return fsspec.core.url_to_fs(uri, **options)
    except (ImportError, ValueError) as error:
        raise StorageError(f"cannot open {uri}: {error}") from error


def is_local(uri: str) -> bool:
    """True for plain paths, file:// URIs and what the package carries."""
    return isinstance(filesystem(uri)[0], LocalFileSystem)


def absolute(uri: str, root: str = ".") -> str:
    """The URI, a relative local path made absolute from `root`: workers have other working directories."""
    relative = "://" not in uri and not uri.startswith(STARTER)
    return os.path.abspath(os.path.join(root, uri)) if relative else uri


def canonical(uri: str) -> str:
    """The URI with its protocol and without a trailing slash: equal for equal places."""
    fs, path = filesystem(uri)
    return str(fs.unstrip_protocol(path)).rstrip("/")


def join(uri: str, *parts: str) -> str:
    """URI of an object below a prefix."""
    return "/".join([uri.rstrip("/"), *parts])


@patiently
def list_objects(prefix: str, suffix: str = "") -> list[Stored]:
    """Objects (never folders) below a prefix, sorted by name. A prefix without objects is an empty list."""
    fs, path = filesystem(prefix)
    fs.invalidate_cache()
    with explained("list", prefix):
        try:
            found = fs.find(path, detail=True)
        except FileNotFoundError:
            return []
    return [
        Stored(join(prefix, name.removeprefix(path).lstrip("/")), int(info["size"]), _version(info))
        for name, info in sorted(found.items())
        if info["type"] == "file" and name.endswith(suffix) and not name.endswith("/")
    ]


def match_objects(pattern: str, suffix: str) -> list[Stored]:
    """Objects named by an input path: one object, a folder, or a glob."""
    if glob.has_magic(pattern):
        return [stat(uri) for uri in _glob(pattern) if uri.endswith(suffix)]
    found = stat_or_none(pattern)
    return [found] if found else list_objects(pattern, suffix)


@patiently
def _glob(pattern: str) -> list[str]:
    fs, path = filesystem(pattern)
    with explained("list", pattern):
        return [str(fs.unstrip_protocol(name)) for name in sorted(fs.glob(path))]


def stat(uri: str) -> Stored:
    """One object's size and version. Raises StorageError where there is none."""
    if found := stat_or_none(uri):
        return found
    raise StorageError(f"there is no object {uri}")


@patiently
def stat_or_none(uri: str) -> Stored | None:
    """As `stat`, None where there is no such object (a folder is not an object)."""
    fs, path = filesystem(uri)
    with explained("look at", uri):
        try:
            info = fs.info(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
    if info["type"] != "file":
        return None
    # What the package carries is another copy on every node, with times of its own: its content is its version.
    version = hashlib.sha256(fs.cat_file(path)).hexdigest() if uri.startswith(STARTER) else _version(info)
    return Stored(uri, int(info["size"]), version)


@patiently
def read(uri: str, start: int | None = None, end: int | None = None) -> bytes:
    """Content of an object, or its bytes [start, end). Raises StorageError where there is none."""
    fs, path = filesystem(uri)
    with explained("read", uri):
        try:
            return bytes(fs.cat_file(path, start=start, end=end))
        except FileNotFoundError as error:
            raise StorageError(f"there is no object {uri}") from error


def read_json(uri: str) -> Any:
    """Content of a JSON object."""
    return json.loads(read(uri))


@patiently
def put(uri: str, data: bytes) -> None:
    """Put an object that may be replaced (a report), whole or not at all."""
    fs, path = filesystem(uri)
    with explained("write", uri):
        if isinstance(fs, LocalFileSystem):
            os.replace(_temporary(Path(path), data), path)
        else:
            fs.pipe_file(path, data)


@patiently
def put_new(uri: str, data: bytes) -> bool:
    """Put an object that must not exist yet, whole or not at all.

    False: there was one, and it is untouched. It may be our own, if the store's first answer was lost.
    """
    fs, path = filesystem(uri)
    with explained("write", uri):
        try:
            return _create(fs, path, data)
        except OSError as error:
            if status(error) != NOT_IMPLEMENTED:
                raise
            if fs.exists(path):  # all that is left: between the look and the put another may put as well
                return False
            fs.pipe_file(path, data)
            return True


@patiently
def creates_only(prefix: str) -> bool:
    """Whether the store has create-only puts. Some stores refuse the wish, others take no notice of it."""
    probe = join(prefix, f".create-only-{uuid.uuid4().hex}")
    fs, path = filesystem(probe)
    with explained("write", probe):
        try:
            return _create(fs, path, b"1") and not _create(fs, path, b"2")
        except OSError as error:
            if status(error) != NOT_IMPLEMENTED:
                raise
            return False
        finally:
            remove(probe)


def _create(fs: fsspec.AbstractFileSystem, path: str, data: bytes) -> bool:
    if isinstance(fs, LocalFileSystem):
        return _link_new(Path(path), data)
    try:
        fs.pipe_file(path, data, mode="create")
    except FileExistsError:
        return False
    except OSError as error:
        if status(error) != PRECONDITION_FAILED:
            raise
        return False
    return True


@patiently
def remove(uri: str) -> None:
    """Delete one object, if it is there."""
    fs, path = filesystem(uri)
    with explained("delete", uri), contextlib.suppress(FileNotFoundError):
        fs.rm_file(path)


def _link_new(path: Path, data: bytes) -> bool:
    temporary = _temporary(path, data)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def _temporary(path: Path, data: bytes) -> Path:
    """A fsynced file beside `path`. Its name has no suffix that any listing asks for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    with temporary.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _version(info: dict[str, Any]) -> str:
    tag = info.get("ETag") or info.get("etag") or info.get("md5Hash") or info.get("blob_id")
    return str(tag).strip('"') if tag else f"{info['size']}-{info.get('mtime', '')}"


def to_parquet(table: pa.Table, row_group_rows: int | None = None) -> bytes:
    """The table as a Parquet file. Media are compressed already, so no column is; only texts, which repeat, are
    written by dictionary: embeddings would be hardly smaller and take five times as long to read."""
    out = io.BytesIO()
    texts = [path for field in table.schema for path in _texts(field, field.name)]
    pq.write_table(table, out, row_group_size=row_group_rows, compression="none", use_dictionary=texts)
    return out.getvalue()


def to_csv(table: pa.Table) -> bytes:
    """The table as CSV with a line of names; no column may be nested."""
    out = io.BytesIO()
    csv.write_csv(table, out)
    return out.getvalue()


def _texts(field: pa.Field, path: str) -> Iterator[str]:
    """Paths of the text columns of a field."""
    if pa.types.is_struct(field.type):
        for inner in field.type:
            yield from _texts(inner, f"{path}.{inner.name}")
    elif pa.types.is_string(field.type):
        yield path


@contextlib.contextmanager
def open_parquet(uri: str, read_ahead: bool = True) -> Iterator[pq.ParquetFile]:
    """A Parquet file of any store. Raises StorageError for bytes that are not Parquet.

    read_ahead=False: of an object in a store, only the columns that are asked for are fetched, each by a request of
    its own; else fsspec fetches what lies behind them as well.
    """
    fs, path = filesystem(uri)
    with explained("read", uri), fs.open(path, "rb", cache_type="readahead" if read_ahead else "none") as file:
        try:
            parquet = pq.ParquetFile(file)
        except (pa.ArrowException, OSError) as error:
            if status(error):
                raise
            reason = " ".join(str(error).split())
            raise StorageError(f"{uri} is not a readable Parquet file: {reason}") from error
        yield parquet
