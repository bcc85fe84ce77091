"""Conditions in Arrow blocks: what encode writes and sample reads."""

import itertools

import pyarrow as pa
import torch
from torch import Tensor

from pipeline.conditions import Condition
from pipeline.stages.blocks import array, column


def condition_columns(name: str, condition: Condition) -> dict[str, pa.Array]:
    """A condition of N rows as columns `name.tokens`, `name.mask`, `name.pooled`, `name.map0` …, `name.present`."""
    parts = {n: getattr(condition, n) for n in ("tokens", "mask", "pooled", "present")}
    parts |= {f"map{i}": m for i, m in enumerate(condition.maps)}
    return {f"{name}.{key}": column(value.cpu().numpy()) for key, value in parts.items()}


def condition(table: pa.Table, name: str) -> Condition:
    """The condition that `condition_columns` wrote."""
    maps = itertools.takewhile(lambda key: key in table.column_names, (f"{name}.map{i}" for i in itertools.count()))

    def tensor(key: str) -> Tensor:
        return torch.from_numpy(array(table, key).copy())

    return Condition(
        tokens=tensor(f"{name}.tokens"),
        mask=tensor(f"{name}.mask").bool(),
        pooled=tensor(f"{name}.pooled"),
        maps=tuple(tensor(key) for key in maps),
        present=tensor(f"{name}.present").bool(),
    )
