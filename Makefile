# `make demo` and `make test` do all the set-up; see README.md.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Of the tests, each with files of its own: what they share is made once. They wait a lot.
PROCESSES ?= 3

.PHONY: demo test faults soak lint types audit site docs pictures check clean

demo: $(VENV)/.serve
	$(BIN)/wakeful demo --dir .demo

test: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder

faults: $(VENV)/.test  # the fault suite in its long form: half an hour
	$(BIN)/python -m pytest tests/faults tests/service/test_exact_memory.py tests/service/test_contract.py --long -s

soak: $(VENV)/.test  # an hour of faults at half of the load that it takes
	$(BIN)/python -m tests.faults.soak --minutes 60 --json soak.json

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml service model

types: $(VENV)/.test
	$(BIN)/mypy

check: lint types test

audit: $(VENV)/.serve  # known weaknesses of what is installed, and a bill of materials
	$(BIN)/python -m pip install --quiet --editable '.[audit]'
	$(BIN)/cyclonedx-py environment --output-file bill-of-materials.json $(BIN)/python
	$(BIN)/pip-audit --skip-editable

site: $(VENV)/.test  # the documentation as pages, in site/; links are checked
	$(BIN)/python -m mkdocs build --quiet

docs: $(VENV)/.test  # writes the tables that are made from the code
	$(BIN)/python -m docs.generate

pictures: $(VENV)/.test  # of the page, taken from the demo in chromium
	$(BIN)/python -m docs.pictures

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.serve: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@ $(VENV)/.serve

clean:
	rm -rf $(VENV) .demo build dist
