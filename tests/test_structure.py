"""What keeps the code small and its imports one-way (docs/architecture.md)."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.where import uninterrupted

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted([*ROOT.glob("pipeline/**/*.py"), *ROOT.glob("jobs/*.py")])
TESTS = sorted(ROOT.glob("tests/*.py"))

# A module may import those of its own layer and of the layers before it.
LAYERS = [
    {"conf", "language", "safety", "weights", "settings", "build", "schema", "seeds"},
    {
        "patience",
        "storage",
        "media",
        "where",
        "progress",
        "metrics",
        "motion",
        "sound",
        "music",
        "spectrogram",
        "kinds",
        "provenance",
        "pictures",
        "signing",
        "lora",
        "memory",
    },
    {"cluster"},
    {"scores", "results"},
    {"conditions"},
    {"models"},
    {"diffusion", "enrichment"},
    {"cells", "sources", "plan", "ledger", "audit", "attempts", "since", "adopt", "preview", "checks"},
    {"stages"},
    {"flow"},
    {"evaluation"},
    {"report"},
    {"run", "train", "datasets", "export", "search"},
    {"bench"},
]
RAY = {"flow", "cluster", "metrics", "train", "evaluation", "bench"}
ONLY = {
    "open_clip": {"conditions/clip.py", "models/names.py", "train/alignment.py"},
    "hydra": {"jobs/cli.py"},
    "omegaconf": {"jobs/cli.py"},
}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT)).removeprefix("pipeline/")


def layer(module: str) -> int:
    return next(i for i, names in enumerate(LAYERS) if module in names)


@functools.cache
def tree(path: Path) -> ast.Module:
    with uninterrupted():
        return ast.parse(path.read_text())


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name != "jobs"], ids=name)
def test_imports_point_one_way(path: Path) -> None:
    own = name(path).split("/")[0].removesuffix(".py")
    if own == "__init__":
        return
    for imported in imports(path):
        parts = imported.split(".")
        assert parts[0] != "jobs", f"{name(path)} imports jobs"
        if parts[0] == "pipeline" and len(parts) > 1:
            assert layer(parts[1]) <= layer(own), f"{name(path)} may not import {imported}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_ray_hydra_and_open_clip_stay_where_they_belong(path: Path) -> None:
    for imported in imports(path):
        top = imported.split(".")[0]
        if top == "ray":
            assert name(path).split("/")[0].removesuffix(".py") in RAY
        if top in ONLY:
            assert name(path) in ONLY[top]


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    yield from (n for n in ast.walk(tree(path)) if isinstance(n, ast.FunctionDef))


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_tests_stay_small(path: Path) -> None:
    assert path.read_text().count("\n") <= 300


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_and_functions_stay_small(path: Path) -> None:
    assert path.read_text().count("\n") <= 300
    for function in functions(path):
        documented = (ast.get_docstring(function) or "").count("\n") + 1
        assert function.end_lineno is not None
        assert function.end_lineno - function.lineno + 1 - documented <= 60, function.name
        arguments = [a for a in (*function.args.args, *function.args.kwonlyargs) if a.arg not in ("self", "cls")]
        assert len(arguments) <= 6, function.name


@pytest.mark.parametrize("path", FILES, ids=name)
def test_modules_say_what_they_are(path: Path) -> None:
    assert ast.get_docstring(tree(path))


def test_one_broad_except_turns_a_bad_row_into_an_error() -> None:
    broad = [
        name(path)
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")))
    ]
    assert broad == ["stages/__init__.py"]


def test_every_module_has_its_tests() -> None:
    tested = "\n".join(p.read_text() for p in TESTS)
    for path in FILES:
        module = f"{'jobs' if path.parent.name == 'jobs' else 'pipeline'}." + name(path).removesuffix(
            ".py"
        ).removeprefix("jobs/").replace("/", ".")
        if path.name == "__init__.py":
            continue
        parent, _, leaf = module.rpartition(".")
        mentioned = module in tested or f"{module.replace('.', '/')}.py" in tested
        imported = any(f"from {parent} import" in line and leaf in line for line in tested.splitlines())
        assert mentioned or imported or f'run("{leaf}"' in tested or f'"{leaf}"' in tested, (
            f"no test speaks of {module}"
        )


def test_jobs_are_short() -> None:
    for path in ROOT.glob("jobs/*.py"):
        if path.name not in ("cli.py", "__init__.py"):
            assert path.read_text().count("\n") <= 70, path.name
