"""Names and seeds derived from content: the same row gets the same id and seed in every run, process and order.

A seed belongs to a row, never to a process, a batch or a position. The cell of a sweep does not enter it,
so two settings are compared on the same noise (common random numbers).
"""

import hashlib


def digest(*parts: object, size: int = 16) -> bytes:
    """blake2b over the parts, each preceded by its length, so that ("ab", "c") and ("a", "bc") differ."""
    raw = [part if isinstance(part, bytes) else str(part).encode() for part in parts]
    framed = b"".join([piece for part in raw for piece in (len(part).to_bytes(8, "little"), part)])
    return hashlib.blake2b(framed, digest_size=size).digest()


def row_id(fingerprint: str, source_id: str, cell: str, sample_index: int) -> str:
    """Name of one planned row, 32 hex digits: equal exactly when recipe, input, cell and sample are equal."""
    return digest("row", fingerprint, source_id, cell, sample_index).hex()


def row_seed(run_seed: int, source_id: str, sample_index: int) -> int:
    """Seed of one planned row, in [0, 2**63)."""
    return int.from_bytes(digest("seed", run_seed, source_id, sample_index, size=8), "little") >> 1
