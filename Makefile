# make demo | test | long | lint | docs | lowest | licences | dist | cluster | gpu | peers: the first call makes .venv and installs; later calls go straight to work.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
TESTS ?=
PEERS_VENV ?= .peers-venv
READY := $(VENV)/.ready
SIDE_BY_SIDE = -n auto --dist loadfile --no-loadscope-reorder --max-worker-restart 0

.PHONY: demo test long lint format docs lowest lowest-versions licences dist cluster gpu gpu-wheels clean peers

demo: $(READY)
	$(VENV)/bin/msflow-stream demo --overwrite

# All tests but those that take half a minute or more; the files run side by side. What fails is run once more, alone: four
# tests at a time on two cores can make one of them late, which is no fault of what it tests.
test: $(READY)
	$(VENV)/bin/python -m pytest -m 'not long and not cluster' $(SIDE_BY_SIDE) $(TESTS); code=$$?; \
	if [ $$code -eq 1 ]; then $(VENV)/bin/python -m pytest -m 'not long and not cluster' --last-failed; else exit $$code; fi

# Whole stories, in a browser, with cameras that fail, as README tells them: a quarter of an hour.
long: $(READY)
	$(VENV)/bin/python -m pytest -m long $(SIDE_BY_SIDE)

lint: $(READY)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(READY)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# The documentation, in docs/build/html; a warning is an error.
docs: $(READY)
	$(VENV)/bin/python -m sphinx -W -q -b html docs docs/build/html

# The lower bounds of pyproject.toml hold: what those versions could break is run with them, in an environment of its own.
lowest:
	$(MAKE) test VENV=.lowest-venv CONSTRAINTS=constraints-lowest.txt TESTS='$(foreach part,$(LOWEST),tests/$(part))'

LOWEST = config datasets evaluation events model release results scenes scoring stream video test_api.py test_package.py \
  pipelines/test_score.py pipelines/test_score_events.py pipelines/test_calibrate.py pipelines/test_convert.py

# Which versions those are; needs uv and a network.
lowest-versions:
	uv pip compile --quiet --upgrade --resolution lowest-direct --python-version 3.11 --extra dev --no-annotate --no-header \
	  --output-file constraints-lowest.txt pyproject.toml

# The tables of docs/licenses.md, of what is installed.
licences: $(READY)
	$(VENV)/bin/python -m release.licences

# In dist/, the source distribution, the wheel and the bill of materials of what is committed.
dist: $(READY)
	$(VENV)/bin/python -m release.dist

# Tests on three nodes of Ray, on this machine: some minutes.
cluster: $(READY)
	$(VENV)/bin/python -m pytest -m cluster tests/cluster

# Checks a GPU, in at most 8 minutes; ARGS=--cpu does what says something without one.
gpu: $(READY)
	$(VENV)/bin/python -m tests.gpu.check $(ARGS)

# Fills .gpu-wheels with what a machine with PyTorch lacks: `python3 tests/gpu/check.py --wheels .gpu-wheels` needs no network.
gpu-wheels: $(READY)
	$(VENV)/bin/python tests/gpu/wheels.py .gpu-wheels

# What `bench peers` compares with, in an environment of its own (several GB): its versions never meet ours.
peers: $(PEERS_VENV)/.ready

$(PEERS_VENV)/.ready: tests/peers/requirements.txt
	test -x $(PEERS_VENV)/bin/python || $(PYTHON) -m venv $(PEERS_VENV)
	$(PEERS_VENV)/bin/python -m pip install --quiet --requirement tests/peers/requirements.txt
	touch $@

clean:
	rm -rf $(VENV) $(PEERS_VENV) .lowest-venv .gpu-wheels gpu-report.json .import_linter_cache .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info

$(READY): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -c "import sys; sys.exit('Python 3.11 or newer is needed, this is ' + sys.version.split()[0] if sys.version_info < (3, 11) else 0)"
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[dev]'
	touch $@
