# make demo: the main job from end to end on drawn data; make test: the tests. Both set up .venv themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo demo-full test bench lint types install clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[clip,dev]'
	# its metadata ask for NumPy 1, which it does not need
	$(BIN)/python -m pip install --quiet --no-deps sgbench==1.0.0
	touch $@

# All models, ablations and three seeds: hours; goes on where it was stopped.
demo-full: install
	$(BIN)/python tools/run_demo.py --full

demo: install
	$(BIN)/python tools/run_demo.py

test: install
	$(BIN)/python -m pytest

# Ratios of fast ways to plain ones; a quarter of an hour on a machine with nothing else to do.
bench: install
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bench.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

clean:
	rm -rf $(VENV) output build *.egg-info
