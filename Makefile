# make demo         sample 64 image-caption pairs with the shipped weights and score them, and some emoji
# make test         the whole test suite
# make checks       format, lint, types
# make wheel-check  build the package, install it in an empty environment, run it there
#
# The first call makes .venv; PYTHON=python3.12 picks another interpreter (3.11 or newer).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet

# For every pip below, those inside isolated builds too. Relative, since pip splits the variable at spaces.
export PIP_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test checks format wheel-check clean
.DELETE_ON_ERROR:

demo: $(VENV)/core.stamp
	$(BIN)/mxqvae sample --num 64 --out demo/samples --overwrite
	$(BIN)/mxqvae evaluate consistency demo/samples
	$(BIN)/mxqvae sample --weights emoji-cpu --num 32 --out demo/emoji --overwrite
	@echo
	@echo "The pairs: demo/samples/contact_sheet.png; emoji: demo/emoji/contact_sheet.png"

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest

checks: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

format: $(VENV)/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Works outside the clone, so that only what the wheel carries is found.
wheel-check: $(VENV)/dev.stamp
	rm -rf build dist
	$(BIN)/python -m build --outdir dist
	$(PYTHON) -m venv build/venv
	build/venv/bin/python -m pip install --quiet dist/*.whl
	cd build && venv/bin/mxqvae --version && venv/bin/mxqvae sample --num 4 --out samples

clean:
	rm -rf $(VENV) build dist demo

# Stamps: an environment is renewed only when the dependencies change.
$(VENV)/core.stamp: pyproject.toml constraints.txt $(VENV)/made.stamp
	$(INSTALL) --editable .
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt $(VENV)/made.stamp
	$(INSTALL) --editable '.[dev]'
	@touch $@ $(VENV)/core.stamp

$(VENV)/made.stamp:
	@command -v $(PYTHON) >/dev/null || \
		{ echo "$(PYTHON) not found: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is $$($(PYTHON) --version); 3.11 or newer is needed: make PYTHON=python3.12, say" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "$(PYTHON) lacks venv: on Debian or Ubuntu, apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@
