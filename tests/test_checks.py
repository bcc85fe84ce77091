import pytest

from pipeline.checks import check
from pipeline.settings import SettingsError
from tests import make

Models = dict[str, str]


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("steps=0", "steps must be at least 1"),
        ("limit=0", "limit must be at least 1, or null"),
        ("model.dtype=float8", "model.dtype must be one of float32"),
        ("failures.max_fraction=2", "between 0 and 1"),
        ("guidance.interval=[3,1]", "needs lo < hi"),
        ("actors.max_samplers=0", "actors.max_samplers must be at least 1, not 0"),
        ("task.best_by=beauty", "none of the task's scores"),
        ("drop=[smell]", "drop=smell: the task's conditions are sketch, text"),
        ("scheduler=magic", "magic"),
        ("sweep.seed=[]", "sweep.seed needs at least one value"),
    ],
)
def test_each_setting_that_cannot_be_used_is_named(models: Models, typed: str, answer: str) -> None:
    with pytest.raises(SettingsError, match=answer):
        check(make.generate(models, "in.parquet", "out", typed))


def test_the_defaults_pass(models: Models) -> None:
    check(make.generate(models, "in.parquet", "out"))


@pytest.mark.parametrize("name", ["image", "seed", "scores"])
def test_columns_that_the_output_has_already_cannot_be_kept(models: Models, name: str) -> None:
    with pytest.raises(SettingsError, match=f"input.keep={name}: the output has a column of that name"):
        check(make.generate(models, "in.parquet", "out", f"input.keep=[{name}]"))
    with pytest.raises(SettingsError, match="given twice"):
        check(make.generate(models, "in.parquet", "out", "input.keep=[n,n]"))
