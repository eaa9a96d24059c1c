# Each target makes .venv and installs what it needs when it is not there. On Windows: the pip commands in the README.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test check bench

demo: $(INSTALLED)
	$(BIN)/fuserec demo toyshop

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(INSTALLED)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(MAKE) test

bench: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/encoding.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/ranking.py

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[pretrained,words,multimodal,tune,serve,redis,mongo,dev]"
	$(BIN)/python -m pip install --quiet --no-deps musicnn==0.1.0  # its old pins of numpy and tensorflow are not needed
	touch $(INSTALLED)
