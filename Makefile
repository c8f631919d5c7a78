# Two commands: `make run` and `make test`. Everything else is a part of them; the work is in `stillhouse --help`.
RECIPE ?= image_text_retrieval
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# A stamp for this lock in this folder: a half-made, outdated or moved .venv has none and is completed or made again.
STAMP := $(VENV)/installed-$(shell { pwd; cat requirements.lock pyproject.toml; } | sha256sum | cut -c1-16)
RUNS_HERE = $(BIN)/pip --version 2>/dev/null | grep -F "$(CURDIR)/$(VENV)/" | grep -q "python 3.11"
TORCH_LINES = awk '/^[^ ]/ {wanted = /^torch==/} wanted' requirements.lock
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export DO_NOT_TRACK = true
unexport PYTHONHOME PYTHONPATH  # of another Python

.PHONY: install run up stop test lint data lock bench
.DEFAULT_GOAL := run

install: $(STAMP)

$(STAMP):
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is not there; install it, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(RUNS_HERE) || { echo "making $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "installing from requirements.lock; the first time takes some minutes"
	@$(TORCH_LINES) > $(VENV)/torch.txt  # a wheel at hand, in pip's find-links, goes before the registry's half gigabyte
	@$(BIN)/python -m pip install --quiet --no-index --require-hashes --no-deps -r $(VENV)/torch.txt 2>/dev/null || true
	@$(BIN)/python -m pip install -qq --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation -e .
	@$(BIN)/python -m pip check
	@rm -f $(VENV)/installed-* && touch $@

run: install
	@$(BIN)/stillhouse run $(RECIPE) $(if $(ONCE),--once)

up: install
	@$(BIN)/stillhouse up

stop: install
	@$(BIN)/stillhouse stop

data: install
	@$(BIN)/stillhouse data

SHORT := $(if $(LONG),,and not long)
# Two workers share the tests, a file at a time; those that need the machine to themselves come after, one by one.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not serial $(SHORT)"
	$(BIN)/pytest $$(grep -l mark.serial tests/test_*.py) -m "serial $(SHORT)"

lint: install
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# The peers have a venv of their own: `make bench` after a night, or `make bench BENCH="--teacher ... --data ... --ours NAME=FILE"`.
PEERS := .venv-peers
PEERS_STAMP := $(PEERS)/installed-$(shell { pwd; cat benchmarks/peers/requirements.txt; } | sha256sum | cut -c1-16)

$(PEERS_STAMP): benchmarks/peers/requirements.txt
	@echo "installing the peers; the first time takes some minutes"
	@$(PYTHON) -m venv --clear $(PEERS)
	@$(PEERS)/bin/python -m pip install -qq --no-deps -r $<
	@touch $@

bench: $(PEERS_STAMP)
	@PYTHONPATH=.:src $(PEERS)/bin/python -m benchmarks.peers.run $(BENCH)

lock: install
	@$(BIN)/python .ci/lock.py
