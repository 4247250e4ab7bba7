# One environment, .venv, serves every target: they all run the same packages, so a second one would
# only cost a second install. pip makes it from pyproject.toml and constraints.txt the first time,
# and again when one of these, the Python or the folder's place has changed since.

SHELL := /bin/sh
override VENV := .venv
BIN := $(VENV)/bin
# What .venv was made of: removed first and written last, so that an install which was killed leaves
# none and the next call starts over.
STAMP := $(VENV)/made-of
# Locked by whoever is making it, an orphaned pip included; the system unlocks it for the dead.
LOCK := .venv.lock
ARGS ?=
# Not kill.py and leak.py: they have nothing to hold a time against, and take a quarter of an hour.
BENCH ?= $(filter-out bench/kill.py bench/leak.py,$(sort $(wildcard bench/[!_]*.py)))

.DEFAULT_GOAL := help
.PHONY: help run study test test-slow test-all bench lint format venv constraints clean

help: ## this list
	@echo "usage: make TARGET [PYTHON=python3.12]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: venv ## python launch.py $(ARGS); without ARGS the toy run: offline, two cores, minutes
	$(BIN)/python launch.py $(ARGS)

STUDY := outputs/study
# More test samples than the default run ranks: the differences are small.
STUDIED := evaluate.samples.uni9=1500 evaluate.samples.pop9=1500 evaluate.samples.uni99=300
study: venv ## what captions and rationales are worth: three runs that share what they can, one table
	$(BIN)/python launch.py hydra.run.dir=$(STUDY)/plain prompt.captions=false cot_prob=0 $(STUDIED) $(ARGS)
	$(BIN)/python launch.py hydra.run.dir=$(STUDY)/captions cot_prob=0 $(STUDIED) $(ARGS)
	$(BIN)/python launch.py hydra.run.dir=$(STUDY)/rationales cot_prob=0.1 $(STUDIED) $(ARGS)
	$(BIN)/python launch.py stage=compare '+compare.runs.plain=$(STUDY)/plain' \
		'+compare.runs.captions=$(STUDY)/captions' '+compare.runs.rationales=$(STUDY)/rationales'

test: lint ## lint, then the cheap tier of tests on both cores
	$(BIN)/pytest -n 2 --dist loadfile

test-slow: venv ## the slow tier on both cores: every stage end to end through the real command line
	$(BIN)/pytest -n 2 --dist loadfile -m "slow and not gpu"

test-all: lint ## lint, then both tiers that need no GPU
	$(BIN)/pytest -m "not gpu"

bench: venv ## side by side, into bench/RESULTS.md; one alone, or kill.py: BENCH=bench/NAME.py
	@set -e; for file in $(BENCH); do echo "== $$file"; $(BIN)/python "$$file"; done

lint: venv ## ruff (rules and format) and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: venv ## mend what ruff can mend by itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# A Python that can make the environment tells its own path: the real one, also from inside a venv.
VERSION = import sys; print("%d.%d" % sys.version_info[:2])
SUITED = import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit(1); import ensurepip, venv; \
	print(getattr(sys, "_base_executable", sys.executable))
PYTHONS = $(or $(PYTHON),python3 python3.11 python3.12 python3.13 python)

# Without PYTHON, an environment that works is kept, whichever Python made it.
venv: ## make .venv if it is missing, half-made or out of date
	@set -e; \
	fresh() { \
		have="$$($(BIN)/python -c '$(VERSION)' 2>/dev/null || true)"; \
		want="$$have"; \
		if [ -n "$(PYTHON)" ]; then want="$$($(PYTHON) -c '$(VERSION)' 2>/dev/null || true)"; fi; \
		where="python$$want $(CURDIR)"; \
		what="$$(cat pyproject.toml constraints.txt | cksum | tr ' ' '-')"; \
		old="$$(cat $(STAMP) 2>/dev/null || true)"; \
		kept=no; \
		if [ -z "$$have" ] || [ "$$have" != "$$want" ]; then return 1; fi; \
		case "$$old" in "$$what $$where") return 0;; *" $$where") kept=yes;; esac; \
		return 1; \
	}; \
	if fresh; then exit 0; fi; \
	if command -v flock > /dev/null; then \
		exec 9> $(LOCK); \
		flock -n 9 || { echo "venv: another process is making it: waiting"; flock 9; }; \
	fi; \
	if fresh; then exit 0; fi; \
	start="$$(date +%s)"; \
	if [ $$kept = yes ]; then \
		echo "venv: pyproject.toml or constraints.txt has changed: bringing $(VENV) up to date"; \
		rm -f $(STAMP); \
	else \
		base=""; \
		for try in $(PYTHONS); do base="$$($$try -c '$(SUITED)' 2>/dev/null)" && break; done; \
		if [ -z "$$base" ]; then \
			echo "no Python to make $(VENV) with (tried: $(PYTHONS))" \
				"· allowed: 3.11, 3.12 or 3.13, with its venv module (Debian: apt install python3-venv)" \
				"· type: make $(or $(firstword $(MAKECMDGOALS)),venv) PYTHON=/path/to/python3.11" >&2; \
			exit 1; \
		fi; \
		echo "venv: making $(VENV) with $$base: about 2 GB, a minute or two"; \
		rm -rf $(VENV); \
		"$$base" -m venv $(VENV); \
		where="python$$($(BIN)/python -c '$(VERSION)') $(CURDIR)"; \
	fi; \
	PIP_USER=0 $(BIN)/python -m pip install -qq --no-input --disable-pip-version-check \
		-c constraints.txt -e '.[dev]' || { \
		echo "pip could not fill $(VENV) (its reason stands above)" \
			"· it needs a package index and about 2 GB of disk · mend that and repeat the command" >&2; \
		exit 1; }; \
	echo "$$what $$where" > $(STAMP); \
	echo "venv: ready after $$(($$(date +%s) - start)) s"

# Versions only, and no CUDA packages: torch names those itself. Run it where pip finds a torch for
# the CPU, or they are installed for nothing.
constraints: ## choose the versions of constraints.txt anew: the newest that pyproject.toml allows
	@set -e; new="$$(mktemp -d)"; trap 'rm -rf "$$new"' EXIT; \
	base="$$($(firstword $(PYTHONS)) -c '$(SUITED)')"; \
	echo "constraints: installing the newest of everything into $$new"; \
	"$$base" -m venv "$$new/venv"; \
	"$$new/venv/bin/python" -m pip install -qq --no-input --disable-pip-version-check -e '.[dev]'; \
	{ sed '/^[^#]/,$$d' constraints.txt; \
	  "$$new/venv/bin/python" -m pip freeze --all --exclude-editable --disable-pip-version-check \
	  | sed -e 's/+[a-z0-9.]*$$//' -e '/^pip==/d' -e '/^nvidia-/d' -e '/^cuda-/d' -e '/^triton==/d'; \
	} > "$$new/constraints.txt"; \
	cp "$$new/constraints.txt" constraints.txt; \
	echo "constraints: $$(grep -c '==' constraints.txt) versions written"

clean: ## remove .venv, caches and Hydra's run folders; artifacts/ stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis outputs multirun
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
