"""The command lines: every mistake is answered at once, in one or two plain lines, with a non-zero exit code."""

import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.cli import compose_config, explain, known_keys, typed, usage
from jobs.generate import absolute, reshape
from pipeline.conf import flatten, overrides
from tests import make

ROOT = Path(__file__).resolve().parent.parent
Models = dict[str, str]


def run(job: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, f"jobs/{job}.py", *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """For jobs that are run inside this process, which is faster: its handler of SIGTERM is not theirs."""
    handler = signal.getsignal(signal.SIGTERM)
    yield monkeypatch
    signal.signal(signal.SIGTERM, handler)


def run_here(here: pytest.MonkeyPatch, job: str, *arguments: str) -> None:
    """As `run`; a mistake is a SystemExit with what is said of it."""
    here.setattr(sys, "argv", [f"jobs/{job}.py", *arguments])
    runpy.run_path(f"jobs/{job}.py", run_name="__main__")


@pytest.mark.parametrize("job", ["generate", "train", "prepare", "evaluate", "verify", "export", "search"])
def test_help_explains_every_key(here: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], job: str) -> None:
    run_here(here, job, "--help")
    said = capsys.readouterr().out
    assert f"python jobs/{job}.py" in said
    for key in known_keys(job):
        assert key.split(".")[0] in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stpes=3"], "unknown key stpes; did you mean steps?"),
        (["guidance.txt=3"], "unknown key guidance.txt; did you mean guidance.text?"),
        (["guidance=compose"], "unknown guidance=compose; known: balanced, chained, composed, none, single"),
        (["guidance=single", "guidance.text=3"], "guidance=single does not use guidance.text; it uses all"),
        (["task=none_such"], "unknown task=none_such; known: "),
        (["steps=many"], "steps must be a whole number, not 'many'"),
        (["scheduler=dpmpp"], "unknown scheduler=dpmpp"),
        (["input.path=/no/such/place"], "/no/such/place: there is no Parquet file"),
        (["model.path=/no/such/model"], "model folder /no/such/model is empty or does not exist"),
        (["input.columns.text=caption"], "has no column 'caption'"),
        (["where=group = 1"], "cannot be read"),
        (["drop=[music]"], "drop=music: the task's conditions are sketch, text"),
        (["num_samples=0"], "num_samples must be at least 1"),
        (["steps"], "cannot read the argument 'steps'"),
        (["guidance.interval=[5,1]"], "needs lo < hi"),
    ],
)
def test_mistakes_are_answered_plainly(
    here: pytest.MonkeyPatch, models: Models, pairs: str, tmp_path: Path, arguments: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_here(here, "generate", *make.arguments(models, pairs, str(tmp_path / "out"), *arguments))
    said = str(ended.value.code)  # Python prints it to stderr and exits with 1
    assert said.startswith("generate: ")
    assert words in said
    assert len(said.splitlines()) <= 2
    assert not (tmp_path / "out").exists()


def test_a_mistake_is_answered_at_once() -> None:
    began = time.monotonic()
    done = run("generate", "stpes=3")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "generate: unknown key stpes; did you mean steps?\n"
    assert time.monotonic() - began < 60  # seconds; about 3 on an idle machine, and no Ray is started


def test_a_composed_configuration_can_be_looked_at() -> None:
    done = run("generate", "--cfg", "job", "guidance.text=7")
    assert done.returncode == 0
    assert "text: 7" in done.stdout


def test_sweeps_need_no_plus() -> None:
    config = compose_config("generate", ["sweep.guidance.text=[1,2]", "sweep.drop=[none,text]"])
    assert flatten(config.sweep) == {"guidance.text": [1, 2], "drop": ["none", "text"]}


def test_a_task_brings_its_model_its_sample_and_its_defaults() -> None:
    config = compose_config("generate", ["task=music_to_dance", "steps=7"])
    assert (config.model.path, config.model.judge) == ("starter:music_to_dance", "starter:dance_judge")
    assert (config.input.path, config.output, config.steps) == ("starter:samples/dance.parquet", "outputs/dance", 7)
    assert config.scheduler == "ddim"
    default = compose_config("generate", [])
    assert (default.model.path, default.output, default.steps) == ("starter:sketch_to_image", "outputs/demo", 20)
    assert "# input=sketch_to_image" in usage("generate")


def test_a_task_may_have_guidance_of_its_own() -> None:
    for task in ("music_to_dance", "dance_editing"):
        assert compose_config("generate", [f"task={task}"]).guidance.scheme == "single"
        assert compose_config("generate", [f"task={task}", "guidance=none"]).guidance.scheme == "none"
        assert overrides("task", task) == {"guidance": "single"}
    assert compose_config("generate", []).guidance.scheme == "composed"
    assert overrides("task", "sketch_to_image") == {}


def test_a_task_without_a_starter_model_asks_for_one(
    here: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    conf = Path(shutil.copytree(ROOT / "conf", tmp_path / "conf"))
    shutil.copy(conf / "task" / "sketch_to_image.yaml", conf / "task" / "mine.yaml")
    monkeypatch.setattr("jobs.cli.CONF", conf)
    with pytest.raises(SystemExit) as ended:
        run_here(here, "generate", "task=mine", "input.path=pairs.parquet")
    assert "model.path= must be given" in str(ended.value.code)


def test_typed_keys_are_known_with_any_quoting() -> None:
    assert typed(["a.b=3", "sweep.c=[1,2]", "x='y z'"]) == ["a.b", "sweep.c", "x"]


def test_explanations_fall_back_to_the_first_line() -> None:
    assert explain("generate", ValueError("first\nsecond")) == "first"


def test_usage_lists_the_choices_of_groups() -> None:
    assert "guidance=balanced|chained|composed|none|single" in usage("generate")


def test_a_submitted_jobs_output_stands_where_it_lasts(
    models: Models, pairs: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = make.generate(models, pairs, "outputs/x")
    assert absolute(settings).output == str(Path.cwd() / "outputs/x")
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    monkeypatch.setenv("PIPELINE_OUTPUT_ROOT", str(tmp_path))
    assert absolute(settings).output == f"{tmp_path}/outputs/x"
    assert absolute(make.generate(models, pairs, "s3://b/x")).output == "s3://b/x"


def test_reshape_keeps_the_weights_that_the_scheme_uses() -> None:
    values = {
        "task": {
            "options": {"adapted": "sketch"},
            "conditions": ["text"],
            "roles": {"text": "text", "sketch": "sketch"},
            "encoders": {"text": "a", "sketch": "b", "mask": "c"},
        },
        "model": {"adapters": ["x"], "loras": [{"path": "y", "scale": 0.5}]},
        "guidance": {"scheme": "single", "interval": None, "text": 1, "sketch": 2, "all": 3},
        "sweep": {},
    }
    made = reshape(values, [])
    assert made["guidance"] == {"scheme": "single", "interval": None, "weights": {"all": 3}}
    assert made["task"]["encoders"] == {"text": "a"}
    assert made["model"] == {"adapters": [{"path": "x", "scale": 1.0}], "loras": [{"path": "y", "scale": 0.5}]}


@pytest.mark.parametrize(
    "text", ["group == 'flags' and n > 3", "a in [\"x\", 'y']", "back \\ slash == 'ü'", "a heart, red"]
)
def test_a_condition_needs_no_second_pair_of_quotes(text: str) -> None:
    argument = f"where={text}"
    assert compose_config("generate", [argument])["where"] == text
    assert typed([argument]) == ["where"]
