# Every target works from a bare machine: python3 (3.11 to 3.13) and make are enough.
# Each makes .venv when there is none; nothing is installed outside it.
PYTHON ?= python3
# What "make test" installs besides the library; the bench extra adds PyTorch and PyOD.
EXTRAS ?= test
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test coverage mutation lint bench bench-quick docs release clean

demo: .venv/.advae
	$(BIN)/advae demo

# Workers, and commands that tests start, find each other's compiled programs. A limit of size has
# JAX lock the folder. Without XLA's emitters of fused loops, programs compile in little more than
# half the time, which is a third of all, and run up to a tenth slower; .ci/package has them.
COMPILED := JAX_COMPILATION_CACHE_DIR=$(CURDIR)/.pytest_cache/compiled \
	JAX_COMPILATION_CACHE_MAX_SIZE=1000000000 JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.2 \
	XLA_FLAGS=--xla_cpu_use_fusion_emitters=false

# Files in their order, the longest first, so that no worker is left with one at the end.
SPREAD := -n 2 --dist loadfile --no-loadscope-reorder

test: .venv/.extras-$(EXTRAS)
	$(COMPILED) $(BIN)/python -m pytest $(SPREAD) $(PYTEST_FLAGS)

# A third slower than "make test".
coverage: .venv/.extras-$(EXTRAS)
	$(COMPILED) $(BIN)/python -m pytest $(SPREAD) --cov --cov-report=term $(PYTEST_FLAGS)

# Whether tests notice changed formulas; takes an hour or two.
mutation: .venv/.extras-test,mutation
	$(COMPILED) $(BIN)/python -m tools.mutation

lint: .venv/.extras-$(EXTRAS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.extras-bench
	$(BIN)/python -m benchmarks.speed --record
	$(BIN)/python -m benchmarks.speed.history
	$(BIN)/python -m benchmarks.speed.time_to_quality
	$(BIN)/python -m benchmarks.paper
	$(BIN)/python -m benchmarks.accuracy
	$(BIN)/python -m benchmarks.speed.report
	$(BIN)/python -m benchmarks.promises.explanations

# Proves that the benchmarks run, on small sizes; what they print then means nothing. "make test" has
# these tests too.
bench-quick: .venv/.extras-$(EXTRAS)
	$(COMPILED) $(BIN)/python -m pytest benchmarks

docs: .venv/.extras-docs
	$(BIN)/mkdocs build --strict

# Wheel and source archive in dist, tried in empty environments, with and without each extra. Refuses
# if version, changelog and tag differ.
release: .venv/.advae
	$(BIN)/python -m tools.release
	.ci/package 3.11 3.12 3.13
	ls dist

clean:
	rm -rf .venv build dist site demo results .pytest_cache .mypy_cache .ruff_cache \
		.hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "advae needs Python 3.11 or newer; name one with make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv

.venv/.advae: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable .
	touch $@

.venv/.extras-%: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable '.[$*]'
	touch $@
