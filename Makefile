# One word for each thing that is done here; every target makes .venv first if it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test mutants check format clean

install: $(STAMP)

# torch first and by exact version: a range would pull the CUDA build
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt "torch"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(STAMP)

# the demo's table is public, so that its budget may start afresh each time
demo: install
	rm -rf release/adult release/adult.internal datasets/adult.ledger.sqlite*
	$(BIN)/synthpriv release datasets/adult.csv.gz --schema datasets/adult.toml --target income \
	    --epsilon 3 --delta 1e-6 --out release/adult

test: install
	$(BIN)/python -m pytest -n 2 --dist worksteal

# plants every breach of privacy that the suite must notice, and prints which test noticed it
mutants: install
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m tests.mutants

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info release
