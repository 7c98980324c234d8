# Every target that needs the environment sets it up first; that takes no time when it is already there.

# The first interpreter on the path that is new enough; `make PYTHON=/path/to/python setup` takes another.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
# What was installed last: what a run needs, and beside it what the tests and pages need.
TRAIN := .venv/installed-train
STAMP := .venv/installed

# A name for it, since its commas would part the arguments of `call`.
EVERYTHING := --editable '.[train,web,dev,docs]'

# The package index's warnings are shown only where an installation fails.
install = $(BIN)/python -m pip install --quiet --constraint constraints.txt $(1) >.venv/install.log 2>&1 || { cat .venv/install.log >&2; exit 2; }

.DEFAULT_GOAL := help
.PHONY: help setup run rounds rules questions test lint format types check docs wheel pytest fuzz lock hooks clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(STAMP) ## Create .venv with everything, at exact versions

$(TRAIN): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Pitboard needs Python 3.11 or newer; none was found on PATH. Pass PYTHON=/path/to/python." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "$(PYTHON) cannot create a virtual environment; on Debian: apt-get install python3-venv." >&2; rm -rf .venv; exit 2; }
	@echo "Installing what a run needs into .venv ..."
	@$(call install,torch==2.13.0)
	@$(call install,--editable '.[train]')
	@touch $@

$(STAMP): $(TRAIN) requirements/ci.txt
	@echo "Installing what the tests and the pages need into .venv ..."
	@$(call install,--require-hashes --no-deps --requirement requirements/ci.txt)
	@$(call install,$(EVERYTHING))
	@touch $@

run: $(TRAIN) ## Train Llama 3.1 8B's embedded preset to its target
	$(BIN)/pitboard run llama31_8b

rounds: setup ## Build the published rounds that the package ships from ../shared/data
	$(BIN)/python tools/build_rounds.py $(wildcard ../shared/data/mlperf_training_v*.tar.zst)

rules: setup ## Write docs/rules.md from the rules in the source
	$(BIN)/python tools/rules_page.py

questions: setup ## Write the table of questions in docs/results.md from their declarations
	$(BIN)/python tools/questions_table.py

test: check pytest ## Everything that CI runs: lint, format, types, the whole test suite

check: lint types docs ## Lint, format, types and the docs' links, without the tests

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

docs: setup ## Build docs/ as a site in site/; a broken link fails it
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build >.venv/docs.log 2>&1 || { grep WARNING .venv/docs.log >&2; exit 1; }
	@echo "The documentation is in site/index.html."

# Further ones: `make wheel PYTHONS='python3.12 python3.13'`.
wheel: setup ## Build the wheel, install it in empty environments, use it there
	$(BIN)/python tools/check_wheel.py --train $(PYTHON) $(PYTHONS)

# On two cores: what one of three waits for (ranks, jobs, links) leaves them to the others.
WORKERS ?= 3
pytest: setup
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadgroup

# As many minutes as are given; a failing example is printed, to become a test.
MINUTES ?= 10
fuzz: setup ## Feed every reader of strangers' files with made-up ones: `make fuzz MINUTES=30`
	@end=$$(($$(date +%s) + 60 * $(MINUTES))); while test $$(date +%s) -lt $$end; do \
		PITBOARD_FUZZ_EXAMPLES=300 $(BIN)/python -m pytest --quiet tests/fuzz tests/parity/test_parser_parity.py || exit 1; done

lock: setup ## Write requirements/*.txt, the hashes of what is installed, and the bill of materials, with uv
	$(BIN)/python tools/lock.py

format: setup ## Rewrite the sources as ruff would have them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

hooks: setup ## Run lint, format and types before every commit
	$(BIN)/pre-commit install

clean: ## Remove .venv and every cache
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist site
