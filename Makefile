# make run: dnsd on 127.0.0.1:1053, serving config/examples/seed. Needs Python 3.11 or newer.
# Everything is installed into $(VENV), from the locked requirements and nothing else; the
# working tree itself is linked there by a .pth file, so that no build is needed.

PYTHON ?= python3
VENV ?= .venv
MANIFESTS ?= config/examples/seed
JOBS ?= auto
TESTS ?= tests

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
LINK := import site; open(site.getsitepackages()[0] + '/dnsd.pth', 'w').write('$(CURDIR)\n')
SCRIPT := import sys; from dnsd.cli import main; sys.exit(main())
MINIMUM := import sys; sys.exit(sys.version_info < (3, 11))

LOCK := uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
  --no-header --no-annotate --no-emit-index-url pyproject.toml

# Tests start hundreds of processes: without bytecode each would compile all of dnsd.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test lint bench docs lock clean
.SILENT:

run: $(VENV)/.runtime
	exec $(BIN)/dnsd serve --manifests $(MANIFESTS) --listen 127.0.0.1:1053 --admin 127.0.0.1:8053

test: lint
	$(BIN)/python -m pytest -q -n $(JOBS) $(PYTEST_FLAGS) $(TESTS)

lint: $(VENV)/.develop
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check . || { echo "run: ruff format ." >&2; exit 1; }
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-cache > $(VENV)/.imports 2>&1 || { cat $(VENV)/.imports >&2; exit 1; }

bench: $(VENV)/.develop
	$(BIN)/python -m bench $(BENCH_FLAGS)

docs: $(VENV)/.runtime
	$(BIN)/python -m dnsd.settings.docs write
	$(BIN)/python -m dnsd.observe.metrics > docs/metrics.md

# New versions within the ranges of pyproject.toml. The locks must not name where they are
# downloaded from: no index lines.
lock:
	$(LOCK) --extra speed -o requirements.txt
	$(LOCK) --extra speed --extra dev -o requirements-dev.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find dnsd tests bench -name __pycache__ -prune -exec rm -rf {} +

# pip is quiet unless it fails: what it warns about is mostly the machine's own affair.
define install
	$(PIP) install --quiet --require-hashes -r $(1) > $(VENV)/.pip 2>&1 || { cat $(VENV)/.pip >&2; exit 1; }
endef

$(VENV)/bin/dnsd:
	command -v $(PYTHON) > /dev/null || \
	  { echo "dnsd needs Python 3.11 or newer, and there is no $(PYTHON); try: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -c "$(MINIMUM)" || \
	  { echo "dnsd needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1); try: make PYTHON=python3.12" >&2; exit 1; }
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
