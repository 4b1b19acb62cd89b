# The project's commands. `make run` and `make test` are all that a new user needs: Python 3.11+, make and git.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REQ ?= A command line program todo.py that keeps a to-do list in todo.json: "python todo.py add TEXT" prints "added 1" with the number of the new entry, "python todo.py done NUMBER" marks an entry as done and prints "done 1", "python todo.py list" prints one line per entry such as "1 [ ] buy milk" or "1 [x] buy milk".
SOP ?= waterfall
ARGS ?=

.PHONY: run test check lint types layers format lock clean

run: $(VENV)/run sandbox
	@$(BIN)/company run "$$REQ" --sop $(SOP) $(ARGS)

export REQ

test: $(VENV)/dev sandbox database browser
	@$(BIN)/pytest -q

check: $(VENV)/dev lint types layers test

lint: $(VENV)/dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/dev
	@$(BIN)/mypy

layers: $(VENV)/dev
	@$(BIN)/lint-imports

format: $(VENV)/dev
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

# Every package by version and hash; `make lock` writes the two files anew.
$(VENV)/run: requirements/run.txt pyproject.toml
	@scripts/environment run

$(VENV)/dev: requirements/dev.txt pyproject.toml
	@scripts/environment dev

# The sandbox's system package, where it is missing and may be installed; else the one command to type.
.PHONY: sandbox
sandbox:
	@scripts/sandbox

# The tests' PostgreSQL server, where it is missing and may be installed.
.PHONY: database
database:
	@scripts/database

# The tests' browser, where it is missing and may be installed.
.PHONY: browser
browser:
	@scripts/browser

lock:
	@uv pip compile pyproject.toml --generate-hashes --no-emit-index-url --universal --python-version 3.11 \
		--custom-compile-command "make lock" -q -o requirements/run.txt
	@uv pip compile pyproject.toml --group dev --generate-hashes --no-emit-index-url --universal --python-version 3.11 \
		--custom-compile-command "make lock" -q -o requirements/dev.txt

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
