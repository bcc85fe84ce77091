"""Arrow schemas of every table that crosses a process or reaches a store, and `check`.

Images are encoded bytes in the form that Hugging Face `datasets` reads as its Image feature; embeddings are
fixed-size lists of float16.
"""

import dataclasses
import json
from collections.abc import Collection, Sequence

import pyarrow as pa

HF_IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])  # audio has the same form

# plan/<hash>-<n>.parquet: one row group per shard
PLAN = pa.schema(
    [
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("row_id", pa.string(), nullable=False),
        pa.field("source_id", pa.string(), nullable=False),
        pa.field("cell", pa.string(), nullable=False),
        pa.field("sample_index", pa.int32(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("file", pa.int32(), nullable=False),  # index into plan.json's files
        pa.field("row", pa.int64(), nullable=False),  # row number inside that file
    ]
)

ERROR = pa.struct([pa.field(name, pa.string()) for name in ("stage", "kind", "message")])
Error = dict[str, str]  # a value of it

# Of runs whose texts a language model rewrites: what the input says, what conditions, and why that is the input's own.
TEXTS = tuple(pa.field(name, pa.string()) for name in ("original", "enriched", "enrich_error"))

# Of runs whose results a classifier looks at: whether one is unsafe, how probably it is, and the likeliest label.
SAFETY = (pa.field("unsafe", pa.bool_()), pa.field("safety_score", pa.float32()), pa.field("safety_label", pa.string()))

# What the run reports for each shard that is done, from the last stage to the driver.
MANIFEST = pa.schema(
    [
        pa.field("shard", pa.int32()),
        pa.field("ok", pa.int32()),
        pa.field("failed", pa.int32()),
        pa.field("kept", pa.int32()),  # rows whose text no language model could rewrite, and that kept it
        pa.field("put", pa.bool_()),  # False: another run had put this shard first
        pa.field("bytes", pa.int64()),
    ]
)


@dataclasses.dataclass(frozen=True)
class Names:
    """Field names of the output's structs, which differ between tasks."""

    roles: Sequence[str]  # of the inputs
    judged: Sequence[str]  # those of them that the judge embeds
    scores: Sequence[str]
    weights: Sequence[str]  # of guidance
    provenance: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Kept:
    """Columns that pass through from the input, and texts."""

    fields: Sequence[pa.Field] = ()
    sounds: Collection[str] = ()  # names of those that hold audio


def output(result: Sequence[pa.Field], names: Names, embedding_dim: int, kept: Kept = Kept()) -> pa.Schema:
    """Schema of data/<shard>.parquet for a task's kind of result."""
    embedding = pa.list_(pa.float16(), embedding_dim)
    fields = [
        pa.field("row_id", pa.string(), nullable=False),
        pa.field("source_id", pa.string(), nullable=False),
        pa.field("cell", pa.string(), nullable=False),
        pa.field("sample_index", pa.int32(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),  # "ok" | "failed"
        pa.field("error", ERROR),
        pa.field("selected", pa.bool_(), nullable=False),  # worth keeping, by the settings' `select`
        *result,
        pa.field("embedding", embedding),  # of the result, in the judge's space
        pa.field("input_embeddings", _struct(names.judged, embedding)),
        pa.field("scores", _struct(names.scores, pa.float32())),
        pa.field("present", _struct(names.roles, pa.bool_())),
        pa.field("guidance", _struct(names.weights, pa.float32())),
        pa.field("provenance", _struct(names.provenance, pa.string())),
        *kept.fields,
    ]
    return pa.schema(fields, metadata=huggingface_metadata(fields, kept.sounds))


def _struct(names: Sequence[str], kind: pa.DataType) -> pa.DataType:
    return pa.struct([pa.field(name, kind) for name in names])


def huggingface_metadata(fields: Sequence[pa.Field], sounds: Collection[str] = ()) -> dict[str, str]:
    """Schema metadata by which `datasets.load_dataset("parquet", …)` shows columns of encoded media as what they are:
    those named in `sounds` as audio, the others as pictures."""
    media = {f.name: {"_type": "Audio" if f.name in sounds else "Image"} for f in fields if f.type == HF_IMAGE}
    return {"huggingface": json.dumps({"info": {"features": media}})} if media else {}


def check(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table cast to `schema`. Raises ValueError naming the columns that are missing, unknown or null."""
    missing, unknown = set(schema.names) - set(table.column_names), set(table.column_names) - set(schema.names)
    if missing or unknown:
        raise ValueError(f"columns missing: {sorted(missing)}; unknown: {sorted(unknown)}")
    return table.select(schema.names).cast(schema)
