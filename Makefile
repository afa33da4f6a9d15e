# Two commands matter: `make demo` and `make test`. They install everything that they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ONCE ?=
WHOLE ?=
# Processes that share the unit tests.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install packages ceph chart chart-test demo images test test-all test-newcomer test-durable test-durable-kills test-durable-load test-faults test-fuzz test-devstack test-images test-long test-mutants test-stores test-stores-long test-sweeps unit main-story further-integration long integration hostile clients clients-xrootd6 bench bench-docs bench-quick docs lint format clean dist durable

help:  ## print this list
	@awk -F':.*##' '/^[a-z-]+:.*##/ {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- the object store behind the gateway -----------------------------------------------------------
# By its name in tests/stores. Storage clients copy objects with a token, so theirs must accept tokens.
STORE ?= swift
STORES := swift swift-s3 rgw-account rgw-plain rgw-s3 minio versitygw
STORES_OF_CLIENTS := swift rgw-account rgw-plain rgw-s3
STORE_NEEDS = $(if $(filter rgw-%,$(STORE)),ceph) $(if $(filter minio versitygw,$(STORE)),.cache/stores/.installed)

# An unknown name is refused before anything is installed. $(1): the target, $(2): its stores.
comma := ,
empty :=
check-store = $(if $(and $(filter 1,$(words $(STORE))),$(filter $(2),$(STORE))),,$(error STORE=$(STORE) is not a store of 'make $(1)': use one of $(subst $(empty) ,$(comma) ,$(2))))
$(foreach target,$(filter test-faults,$(MAKECMDGOALS)),$(call check-store,$(target),$(STORES)))
$(foreach target,$(filter clients test-all,$(MAKECMDGOALS)),$(call check-store,$(target),$(STORES_OF_CLIENTS)))

# --- environments ---------------------------------------------------------------------------------
# The product, the function and the tools of the tests share one environment; Keystone and Swift have
# their own, because their pinned libraries are not ours to choose.
install: packages $(VENV)/.installed .cache/localcloud/.installed  ## set everything up

# Debian packages come first, and all at once: only an administrator can install them, and the rest takes minutes.
APT_LISTS := localcloud/apt.txt $(if $(filter clients test-all test-stores,$(MAKECMDGOALS)),tests/clients/apt.txt) $(if $(filter clients-xrootd6,$(MAKECMDGOALS)),tests/clients/apt.txt tests/clients/xrootd6/apt.txt) $(if $(filter test-durable% test-sweeps,$(MAKECMDGOALS)),tests/durable/apt.txt)
VENV_PACKAGE = $(shell $(PYTHON) -c 'import ensurepip' 2>/dev/null || echo python3-venv)
packages:
	@grep -hv '^#' $(APT_LISTS) | xargs localcloud/debian.sh $(VENV_PACKAGE)

# The demo starts sooner without the tools of the tests.
$(VENV)/.product: LOCKS := requirements.txt functions/checksums/constraints.txt
$(VENV)/.installed: LOCKS := tests/requirements.txt
$(VENV)/.product $(VENV)/.installed: pyproject.toml $(wildcard distributions/*/pyproject.toml) functions/checksums/pyproject.toml requirements.txt functions/checksums/constraints.txt tests/requirements.txt
	@echo "==> product environment ($(VENV)): a minute or two"
	@$(PYTHON) -m venv $(VENV)
	@$(PYTHON) localcloud/progress.py $(BIN)/pip install --require-hashes $(LOCKS:%=--requirement %)
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable . --editable functions/checksums
	@# After the rest: an older installation had their commands in the gateway's distribution, and takes them along.
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable distributions/builder --editable distributions/client
	@touch $@

.cache/localcloud/.installed: $(addprefix localcloud/,apt.txt constraints.txt requirements.txt install.sh)
	@echo "==> Keystone, Swift and Envoy (.cache/localcloud): a minute or two"
	@PYTHON=$(PYTHON) bash localcloud/install.sh .cache/localcloud
	@touch $@

.cache/functions/.installed: functions/runtimes/install.sh functions/runtimes/packages.txt $(wildcard functions/runtimes/*/pyproject.toml functions/runtimes/*/*_runtime/*)
	@echo "==> Runtimes of functions (.cache/functions)"
	@PYTHON=$(PYTHON) bash functions/runtimes/install.sh .cache/functions
	@touch $@

# The client as a user installs it, and nothing else.
.cache/dist/.client: distributions/build.sh distributions/install.sh $(wildcard distributions/*/pyproject.toml distributions/*/requirements.txt) $(shell find client osfaas builds -name '*.py' -o -name '*.txt')
	@echo "==> Client in an environment of its own (.cache/dist/client)"
	@PYTHON=$(PYTHON) bash distributions/install.sh .cache/dist client
	@touch $@

dist:  ## wheels and source distributions in .cache/dist/dist; each is installed into an environment of its own
	@PYTHON=$(PYTHON) bash distributions/install.sh .cache/dist
	@for name in builder client gateway; do \
	  echo "==> $$name: $$(.cache/dist/$$name/bin/python --version)"; \
	  .cache/dist/$$name/bin/pip --disable-pip-version-check check && .cache/dist/$$name/bin/pip --disable-pip-version-check list --format=freeze || exit 1; \
	done
	@ls -l .cache/dist/dist

chart: $(VENV)/.installed  ## the Helm chart in .cache/dist/chart, made from the manifests
	@$(BIN)/python -m charts .cache/dist/chart

# A release needs the name of its base image: any image with Python 3.11 and its venv module.
images: $(VENV)/.installed  ## after `make dist`: images from its wheels, bills of materials, digests, in .cache/images (as root); PYTHON_IMAGE=docker://…@sha256:…
	@test -n "$(PYTHON_IMAGE)" || { echo "name the base image: make images PYTHON_IMAGE=docker://…@sha256:…" >&2; exit 2; }
	@grep -hv '^#' images/apt.txt | xargs localcloud/debian.sh
	@$(BIN)/python -m images .cache/images --dist .cache/dist --python $(PYTHON_IMAGE)

# Not part of CI, whose test cluster has these images, each built once: twelve builds.
test-images: cluster-packages  ## each image twice: the same digest, its bill of materials, its start (as root)
	@$(BIN)/python -m pytest tests/images -q

test-devstack: install  ## the plug-in of devstack: every phase on a real Keystone and Swift, one checksum, nothing left
	@$(BIN)/python -m pytest tests/devstack -q

# Not part of CI: helm renders the chart more than a hundred times.
chart-test: $(VENV)/.cluster-installed  ## the chart as helm renders it: lint, the example overlay's objects, every value
	@$(BIN)/python -m pytest tests/chart -q

.cache/registry/.installed: $(addprefix tests/registry/,install.sh main.go go.mod go.sum)
	@echo "==> Registry (.cache/registry)"
	@bash tests/registry/install.sh .cache/registry
	@touch $@

# Ceph is an option of the local cloud: nothing else needs it.
ceph:  ## Ceph beside the local cloud (Debian packages of localcloud/ceph-apt.txt)
	@grep -hv '^#' localcloud/ceph-apt.txt | xargs localcloud/debian.sh

# --- the two commands -----------------------------------------------------------------------------
demo: packages $(VENV)/.product .cache/localcloud/.installed  ## the main job on real Keystone, Swift, function, gateway and Envoy on loopback (ONCE=1 ends after the table)
	@$(BIN)/python -m localcloud.demo $(if $(ONCE),--once)

# In parallel: the main story mostly waits for other processes, the unit tests and mypy need a processor. The output of
# each is printed in one piece when it ends.
test: install  ## lint, types, unit tests and the main story on a real Keystone and Swift: some minutes
	@$(MAKE) --no-print-directory --keep-going --jobs --output-sync=target lint unit main-story

# Everything that CI runs without a cluster, each part once.
test-all: test further-integration durable hostile long clients test-faults  ## the same and all other tests that need no cluster: half an hour and more

test-newcomer:  ## `make demo ONCE=1` as an ordinary user with a fresh clone (WHOLE=1: and `make test`); root makes the user and removes it
	@WHOLE=$(WHOLE) PYTHON=$(PYTHON) tests/newcomer/run.sh

unit: install  ## decisions, without a network
	@$(BIN)/python -m pytest tests/unit -q --numprocesses=$(WORKERS) --dist=worksteal

main-story: install  ## a digest, from the token to the answer, on real Keystone, Swift and function
	@$(BIN)/python -m pytest tests/integration -q -m "main_story and not long"

further-integration: install .cache/dist/.client .cache/functions/.installed .cache/registry/.installed
	@$(BIN)/python -m pytest tests/integration -q -m "not main_story and not long"

hostile: install  ## malformed requests over real sockets, by family
	@$(BIN)/python -m pytest tests/hostile -q

long: install  ## kills, load and failing reads, in short
	@$(BIN)/python -m pytest tests/long -q

test-faults: install $(STORE_NEEDS)  ## Toxiproxy (built with Go) between the gateway and Keystone, store (STORE=rgw-account, minio, …) and function
	@$(BIN)/python -m pytest tests/faults -q --store=$(STORE)

durable: install  ## the store of durable work, and asynchronous calls, with SQLite: test-durable has all databases
	@$(BIN)/python -m pytest tests/durable -q -k "sqlite and (test_store or test_batches or test_operations or test_sweeps and malformed_dump) or test_sweep_authority and trust"

test-durable: install  ## durable work on real PostgreSQL, MariaDB and SQLite: accepted calls survive every kill
	@$(BIN)/python -m pytest tests/durable -q

test-sweeps: install  ## a sweep of SWEEP_OBJECTS (100,000) small objects: rate, memory, ten kills, every finding; on an idle machine
	@$(BIN)/python -m pytest tests/durable/test_sweep_at_length.py -q -s -m long
# In pieces: `make test-durable-kills POINTS=worker.finish`, or the name of a database.
POINTS ?= test_kill
test-durable-kills: install  ## kills of worker, gateway and database at every point of an operation: an hour and more
	@$(BIN)/python -m pytest tests/durable/test_kills.py -q -m "long or not long" -k "$(POINTS)"

test-durable-load: install .cache/bench/.installed  ## one key in parallel, fairness, clocks that step, accepted calls a second: half an hour
	@$(BIN)/python -m pytest tests/durable/test_load.py -q -s -m long

$(VENV)/.fuzz $(VENV)/.mutants: $(VENV)/.installed
	@$(BIN)/pip install --quiet --require-hashes --requirement tests/$(subst .,,$(@F))/requirements.txt
	@touch $@

.cache/stores/.installed: tests/stores/install.sh
	@echo "==> MinIO and versitygw (.cache/stores): some ten minutes of compiling"
	@bash tests/stores/install.sh .cache/stores
	@touch $@

test-stores: install ceph .cache/stores/.installed .cache/clients/.installed  ## one object suite on Swift, Ceph, MinIO and versitygw, and their events; faults and clients on Ceph (needs Go)
	@$(BIN)/python -m pytest tests/stores -q
	@for store in rgw-account rgw-s3; do \
	  for suite in clients faults; do $(BIN)/python -m pytest tests/$$suite -q --store=$$store || exit 1; done; \
	done

test-stores-long: install ceph .cache/stores/.installed  ## EVENT_OBJECTS (10,000) events of Ceph and of MinIO with each part killed once; objects of 1 and 5 GiB (LARGE_GIB) on every store
	@$(BIN)/python -m pytest tests/stores -q -s -m long

test-fuzz: $(VENV)/.fuzz  ## Atheris, guided by branch coverage, on every property of the parsers: some seven minutes
	@$(BIN)/python -m pytest tests/fuzz -q -s -m long

test-mutants: $(VENV)/.mutants  ## mutmut on identity, access rules, header hygiene and names; GROUPS="names" for some of them
	@$(BIN)/python -m tests.mutants $(GROUPS)

test-long: install  ## the same at length, on an idle machine: ten minutes of attack, kills, load, 100,000 failing reads, latencies
	@$(BIN)/python -m pytest tests/hostile -q -s -m long
	@$(BIN)/python -m pytest tests/integration -q -s -m long
	@$(BIN)/python -m pytest tests/long -q -s -m long

integration: install .cache/dist/.client .cache/functions/.installed .cache/registry/.installed  ## the gateway on real Keystone, Swift and function
	@$(BIN)/python -m pytest tests/integration -q

.cache/clients/.installed: $(addprefix tests/clients/,install.sh apt.txt requirements.txt davix_checksum.cpp gophercloud/main.go gophercloud/go.mod gophercloud/go.sum)
	@echo "==> Storage clients (.cache/clients)"
	@PYTHON=$(PYTHON) bash tests/clients/install.sh .cache/clients
	@touch $@

clients: install $(STORE_NEEDS) .cache/clients/.installed  ## davix, gfal2, XRootD, rclone, Rucio, Dynafed's tool and gophercloud against the gateway, with Swift or STORE=rgw-account (needs Go)
	@$(BIN)/python -m pytest tests/clients -q --store=$(STORE)

.cache/xrootd6/.installed: $(addprefix tests/clients/xrootd6/,install.sh apt.txt requirements.txt)
	@echo "==> XRootD 6 (.cache/xrootd6): some minutes of compiling"
	@PIP=$(BIN)/pip bash tests/clients/xrootd6/install.sh .cache/xrootd6
	@touch $@

# Not part of CI: the client is compiled.
clients-xrootd6: install .cache/clients/.installed .cache/xrootd6/.installed  ## XRootD 6 with its plug-in for HTTP, compiled from its source distribution, against the gateway
	@$(BIN)/python -m pytest tests/clients -q -m xrootd6

# --- figures --------------------------------------------------------------------------------------
.cache/bench/.installed: $(addprefix tests/bench/,install.sh apt.txt requirements.txt)
	@echo "==> Peers of the benchmark (.cache/bench)"
	@PYTHON=$(PYTHON) bash tests/bench/install.sh .cache/bench
	@touch $@

bench: install .cache/bench/.installed  ## the product and its peers side by side: table, JSON, chart (eleven minutes and more)
	@$(BIN)/python -m tests.bench

bench-docs: install .cache/bench/.installed  ## the same, written to docs/explanation/performance.md; on an idle machine
	@$(BIN)/python -m tests.bench --docs docs/explanation/performance.md

bench-quick: install .cache/bench/.installed  ## the same with little work, to see that everything runs; the figures mean nothing
	@$(BIN)/python -m tests.bench --runs 1 --requests 200 --object-mib 32 --out .cache/bench/quick.json

.cache/docs/.installed: docs/requirements.txt
	@echo "==> MkDocs (.cache/docs)"
	@$(PYTHON) -m venv .cache/docs/venv
	@.cache/docs/venv/bin/pip install --quiet --require-hashes --requirement docs/requirements.txt
	@touch $@

docs: .cache/docs/.installed  ## the documentation as a site in .cache/site; fails on a dead link
	@# Not --quiet: it hides warnings before --strict can count them.
	@NO_MKDOCS_2_WARNING=1 .cache/docs/venv/bin/mkdocs build --strict

SHELL_FILES = .ci/run .ci/lock $(shell find . -path './.*' -prune -o -name '*.sh' -print)
lint: $(VENV)/.installed  ## ruff, mypy --strict, import-linter, shellcheck
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy builds charts client images osfaas control gateway operations releases tenancy policies localcloud functions/checksums/checksums_function functions/thumbnail functions/runtimes/framework/framework_runtime functions/runtimes/asgi/asgi_runtime
	@$(BIN)/lint-imports
	@$(BIN)/shellcheck --external-sources $(SHELL_FILES)

format: $(VENV)/.installed  ## format the code with ruff
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

include tests/cluster/cluster.mk

clean:  ## remove what the targets above made
	rm -rf $(VENV) .cache
