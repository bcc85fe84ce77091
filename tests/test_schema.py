import json

import pyarrow as pa
import pytest

from pipeline import schema
from pipeline.results.image import ImageResult

NAMES = schema.Names(["text", "sketch"], ["text", "sketch"], ["clip_text"], ["text", "sketch", "all"], ["model"])
SCHEMA = pa.schema([pa.field("a", pa.int32(), nullable=False), pa.field("b", pa.string())])


def test_check_casts_orders_and_refuses() -> None:
    checked = schema.check(pa.table({"b": ["x"], "a": pa.array([1], pa.int64())}), SCHEMA)
    assert checked.schema == SCHEMA
    with pytest.raises(ValueError, match=r"missing: \['b'\]; unknown: \['c'\]"):
        schema.check(pa.table({"a": [1], "c": [2]}), SCHEMA)
    with pytest.raises(ValueError, match="'a' with null values"):
        schema.check(pa.table({"a": pa.array([None], pa.int32()), "b": ["x"]}), SCHEMA)


def test_output_declares_images_for_hugging_face() -> None:
    made = schema.output(ImageResult.fields, NAMES, 8, schema.Kept([pa.field("group", pa.string())]))
    features = json.loads(made.metadata[b"huggingface"])["info"]["features"]
    assert features == {"image": {"_type": "Image"}}
    assert made.field("embedding").type == pa.list_(pa.float16(), 8)
    assert made.names[-1] == "group"
