# Two commands: `make run` and `make test`. Everything else is a part of them; the work is in `stillhouse --help`.
RECIPE ?= image_text_retrieval
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# A stamp for this lock in this folder: a half-made, outdated or moved environment has none and is completed or made again.
stamp_of = $(1)/installed-$(shell { pwd; cat $(2) pyproject.toml; } | sha256sum | cut -c1-16)
STAMP := $(call stamp_of,$(VENV),requirements.lock)
# The light environment: `stillhouse inspect` and runs without servers, and no Airflow, DVC or Great Expectations.
LIGHT := .venv-light
LIGHT_STAMP := $(call stamp_of,$(LIGHT),requirements-light.lock)
RUNS_HERE = $(1)/bin/pip --version 2>/dev/null | grep -F "$(CURDIR)/$(1)/" | grep -q "python 3.11"
TORCH_LINES = awk '/^[^ ]/ {wanted = /^torch==/} wanted' $(1)
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export DO_NOT_TRACK = true
unexport PYTHONHOME PYTHONPATH  # of another Python

.PHONY: install light run up stop test lint data lock lock-images bench docs stack stack-test stack-down
.DEFAULT_GOAL := run

install: $(STAMP)

# $(call install_from,ENVIRONMENT,LOCK,pip's further options)
define install_from
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is not there; install it, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(call RUNS_HERE,$(1)) || { echo "making $(1)"; $(PYTHON) -m venv --clear $(1); }
	@echo "installing from $(2); the first time takes some minutes"
	@$(call TORCH_LINES,$(2)) > $(1)/torch.txt  # a wheel at hand, in pip's find-links, goes before the registry's half gigabyte
	@$(1)/bin/python -m pip install --quiet $(3) --no-index --require-hashes --no-deps -r $(1)/torch.txt 2>/dev/null || true
	@$(1)/bin/python -m pip install -qq $(3) --require-hashes --no-deps -r $(2)
	@$(1)/bin/python -m pip install -qq --no-deps --no-build-isolation -e .
	@$(1)/bin/python -m pip check
	@rm -f $(1)/installed-* && touch $@
endef

$(STAMP):
	$(call install_from,$(VENV),requirements.lock)

light: $(LIGHT_STAMP)

# Python compiles a module when it is first imported, so that only what is used takes the time and the disk. The tests and
# the C++ headers of the packages are a fifth of the disk, and nothing here runs them. pip has compiled itself meanwhile.
$(LIGHT_STAMP):
	$(call install_from,$(LIGHT),requirements-light.lock,--no-compile)
	@cd $(LIGHT)/lib/python3.11/site-packages/torch && rm -rf include bin/*est* bin/protoc*
	@find $(LIGHT)/lib -type d \( -name test -o -name tests -o -name __pycache__ \) -prune -exec rm -rf {} +

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

# After `make lock`: the locks of the container images, docker/requirements-*.lock.
lock-images: install
	@$(BIN)/python .ci/lock_images.py $(IMAGES)

# The stack of docker/compose.yaml, with podman. docs/stack.md says which tools it needs.
stack:
	@docker/stack.sh up

stack-test:
	@docker/stack.sh test $(or $(filter-out image_text_retrieval,$(RECIPE)),seed_digits)

stack-down:
	@docker/stack.sh down

# The reference is written anew from the code, then all pages become a site in .site; a broken link ends it.
docs: install
	@$(BIN)/python .ci/reference.py
	@$(BIN)/python -m mkdocs build --strict
