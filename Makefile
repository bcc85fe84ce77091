# make demo         set everything up and generate images from the embedded sample
# make demo-dance   the same for dances
# make test         set everything up and check it: format, lint, types, tests

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -c constraints.txt

.PHONY: demo demo-dance test lint fluidsynth bench faults fuzz memory models train-faults train-overhead clean

demo: .venv/installed
	$(BIN)/python jobs/generate.py

demo-dance: .venv/installed
	$(BIN)/python jobs/generate.py task=music_to_dance

# Two processes: one for all tests that share a Ray, one for the others.
test: lint fluidsynth
	$(BIN)/python -m pytest -n 2

# Renders the music of dances (docs/dance.md). Where it may not be installed, the tests that need it fail and say so.
fluidsynth:
	@command -v fluidsynth >/dev/null || { test "$$(id -u)" = 0 && apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends fluidsynth fluid-soundfont-gm >/dev/null; } || \
	echo "make: FluidSynth is missing; apt-get install fluidsynth fluid-soundfont-gm" >&2

lint: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Slow campaigns; `make test` runs a short part of each. Results go to outputs/.
bench: .venv/installed
	$(BIN)/python jobs/bench.py output=outputs/bench page=docs/benchmarks.md

faults: .venv/installed-dev
	$(BIN)/python -m tests.campaign outputs/faults

fuzz: .venv/installed-dev
	FUZZ_CASES=1000 $(BIN)/python -m pytest -s tests/test_fuzz.py

models: .venv/installed-dev
	$(BIN)/python -m tests.models_table docs/models.json docs/models.md

memory: .venv/installed-dev
	$(BIN)/python -m tests.memory outputs/memory 1000 10000 100000

train-faults: .venv/installed-dev
	$(BIN)/python -m tests.train_faults outputs/train-faults

train-overhead: .venv/installed-dev
	$(BIN)/python -m tests.train_overhead outputs/train-overhead

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "Python 3.11 or newer is needed; say PYTHON=python3.12, for example" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(INSTALL) -e .
	@touch $@

.venv/installed-dev: .venv/installed
	$(INSTALL) -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv outputs
