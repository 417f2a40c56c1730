# Every target sets up what it needs. `make drive` is the main job.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export OMP_NUM_THREADS ?= 1

.PHONY: help setup drive test check seeds weights bench soak size clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

setup: $(READY) ## make .venv, install Ringroad and compile the kernels (minutes, once)

$(READY): pyproject.toml
	@echo "setting up $(VENV): installs torch and the rest with pip (a few minutes, once)"
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11 or say make PYTHON=/path/to/python"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	@echo "compiling the simulator's kernels (under a minute, once)"
	$(BIN)/python -m scripts.compile
	@touch $(READY)

drive: $(READY) ## drive a route through a town never trained on; writes a report and a video to out/drive
	$(BIN)/ringroad drive --seed 3 --record out/drive/drive.mcap --report out/drive

test: $(READY) ## all tests but the soak (under 10 minutes after set-up)
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(READY) ## format, lint, types, fast tests (under 2 minutes)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not gpu and not soak"

seeds: $(READY) ## the table of docs/seeds_town.md: many seeds, many stacks
	$(BIN)/python -m scripts.seeds --name town

weights: $(READY) ## remake data, network and policy from fixed seeds (at most 150 minutes on 2 cores)
	$(BIN)/python -m scripts.weights

bench: $(READY) ## every speed figure in the docs
	$(BIN)/ringroad bench

soak: $(READY) ## long runs
	$(BIN)/python -m pytest -m soak --timeout 7200

size: ## lines per file
	@git ls-files '*.py' | xargs wc -l | sort -n

clean: ## remove what was made here (.venv, out)
	rm -rf $(VENV) out
