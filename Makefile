# Everything runs from .venv; `make demo` and `make test` are all a newcomer needs.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help install demo test lint types format docs validate cases bench fuzz clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

install: $(STAMP)  ## create .venv with everything that demo and tests use

$(STAMP): pyproject.toml requirements/models.txt requirements/demo.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements/models.txt
	$(BIN)/python -m pip install --quiet -e '.[dev,hub,models]'
	$(BIN)/python -m pip install --quiet --no-deps -r requirements/demo.txt
	@touch $(STAMP)

demo: $(STAMP)  ## real models and tokenizers compared; leaves demo/index.html
	$(BIN)/python -u -m studies.demo

test: $(STAMP)  ## the tests; the small zoo is trained on the first run
	@command -v openssl >/dev/null || { echo "The tests make a time-stamping authority with the program openssl: install it first."; exit 1; }
	$(BIN)/python -m studies.zoo --size test --device cpu --jobs 2
	$(BIN)/python -m pytest -n 2 --dist loadgroup -q

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## write again what is generated: schema, help texts
	$(BIN)/python -m filiation.report.schema
	$(BIN)/python -m tests.cli.help_blocks

validate: $(STAMP)  ## every calibration figure: recorded answers, tokenizers, configurations, the full zoo (long)
	$(BIN)/python -m pytest -n 2 --dist loadgroup -q -m long
	$(BIN)/python -m pytest -n 2 --dist loadgroup -q -m hypothesis --hypothesis-profile=explore
	$(BIN)/python -m studies.sequential
	$(BIN)/python -m studies.text_kinship --check
	$(BIN)/python -m studies.shared_errors --check
	$(BIN)/python -m studies.verbatim
	$(BIN)/python -m studies.teacher
	$(BIN)/python -m studies.guardrails
	$(BIN)/python -m studies.dispute
	$(BIN)/python -m studies.service
	$(BIN)/python -m studies.tokenizers
	$(BIN)/python -m studies.architecture
	$(BIN)/python -m studies.weights --size full --check
	$(BIN)/python -m studies.validation_scores --check
	$(BIN)/python -m studies.canary_claims
	$(BIN)/python -m studies.canary_survival
	$(BIN)/python -m studies.canary_smollm2
	$(BIN)/python -m studies.watermarks --size full
	$(BIN)/python -m studies.radioactivity
	$(BIN)/python -m studies.radioactivity_tokens --cache .cache/radioactivity
	$(BIN)/python -m studies.radioactivity_shift --cache .cache/radioactivity
	$(BIN)/python -m studies.independence
	$(BIN)/python -m studies.private_twins
	$(BIN)/python -m studies.recited_smollm2
	$(BIN)/python -m studies.marks_needed
	$(BIN)/python -m studies.logits
	$(BIN)/python -m studies.log_probabilities --check
	$(BIN)/python -m studies.representations --check
	$(BIN)/python -m studies.training_method

cases: $(STAMP)  ## the three example cases made anew, with their pictures
	$(BIN)/python -m studies.cases
	$(BIN)/python -m studies.cases.pictures

bench: $(STAMP)  ## cost on 1B- and 7B-shaped files, of line-ups and of verifying a case, and the peers
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.line_up --size all
	$(BIN)/python -m benchmarks.case
	$(BIN)/python -m benchmarks.peers

fuzz: $(STAMP)  ## ten minutes of coverage-guided fuzzing of the header parsers
	$(BIN)/python -m pip install --quiet -r requirements/fuzz.txt
	$(BIN)/python tests/fuzz/fuzz_headers.py --minutes 10

clean:
	rm -rf .venv .cache build dist demo
