# Two commands: `make search` from nothing to a Pareto front, `make test` for every check.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

# Two processes, one thread each: numpy's threads would fight over the cores.
PARALLEL = OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder
# Few draws of the tests that hypothesis draws for; `make test` runs those once more, with all of them.
FAST = SKIPSEARCH_TESTS=fast $(PARALLEL) -m 'not slow'

.PHONY: search test machines lmms install check fast docker-check clean

search: install
	$(PY) -m search.run --budget 200

test: install check
	$(FAST)
	$(PARALLEL) -m '(slow or hypothesis) and not alone and not machines'
	$(PY) -m pytest -m alone

# Several machines, simulated on this one: needs it quiet, so it is no part of `make test`.
machines: install
	$(PY) -m pytest -m machines

# lmms-eval in an environment of its own, with older versions of three packages than those in constraints.txt.
# A torchvision for GPUs beside a torch for CPUs can't be imported; transformers does without it.
lmms:
	test -x $(VENV)-lmms/bin/python || $(PYTHON) -m venv $(VENV)-lmms
	grep -vE '^(protobuf|python-dateutil|wandb)==' constraints.txt > $(VENV)-lmms/constraints.txt
	$(VENV)-lmms/bin/python -m pip install --quiet -c $(VENV)-lmms/constraints.txt -e '.[lmms]' decord pytest pytest-timeout hypothesis
	$(VENV)-lmms/bin/python -c 'import torchvision' 2> /dev/null || $(VENV)-lmms/bin/python -m pip uninstall --quiet --yes torchvision
	$(VENV)-lmms/bin/python -m pytest -W ignore tests/workers/harness

install: $(VENV)/.installed

# Not compiled here: of 25,000 modules a search imports a tenth, which Python compiles when it first does.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[test]'
	touch $@

check: install
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

fast: install
	$(FAST) --durations 10

# The image built, and run as Compose would: root on Debian, see docker/README.md.
docker-check: install
	$(PY) -m tests.docker.check_image

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
