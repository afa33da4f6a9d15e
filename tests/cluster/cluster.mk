# The test cluster: a real Kubernetes, Cilium, Istio and Knative on this machine. See docs/how-to/test-cluster.md.
# Included by the main Makefile, whose environment ($(VENV)) it extends.
.PHONY: cluster-packages cluster-build cluster cluster-shell cluster-check cluster-lint test-cluster test-cluster-all test-isolation test-conformance test-eventing test-sidecars test-helm test-build-kills cluster-cyclonus bench-cluster

$(VENV)/.cluster-installed: tests/cluster/requirements.txt $(VENV)/.installed
	@echo "==> Python packages of the test cluster"
	@$(BIN)/pip install --quiet --require-hashes --requirement tests/cluster/requirements.txt
	@touch $@

cluster-packages: $(VENV)/.cluster-installed
	@$(BIN)/python -m tests.cluster packages

cluster-build: $(VENV)/.cluster-installed  ## build or reuse every part of the test cluster
	@$(BIN)/python -m tests.cluster build

cluster: cluster-build  ## boot the test cluster and keep it until Ctrl-C
	@$(BIN)/python -m tests.cluster up

cluster-shell: $(VENV)/.cluster-installed  ## a shell on the node of the running test cluster, with kubectl
	@$(BIN)/python -m tests.cluster shell

cluster-check: $(VENV)/.cluster-installed  ## say what ended clusters left on this machine (nothing)
	@$(BIN)/python -m tests.cluster check

cluster-lint: $(VENV)/.cluster-installed
	@$(BIN)/mypy --explicit-package-bases tests/cluster tests/isolation tests/bench/on_cluster

# What a change of the product most likely breaks: a call from the edge to the function, projects' own functions, the directory, the administrators'
# API, the controller, the installation, the attacks. The attacks come last, because they take policies of the platform away.
CLUSTER_CORE := $(patsubst %,tests/cluster/test_%.py,end_to_end streams functions function_builds gateway_directory gateway_projects platform tenancy_cluster tenancy_lifecycle) tests/isolation
ON_CLUSTER := $(BIN)/python -m pytest -q -s -p tests.cluster.plugin --durations=40

test-cluster: cluster-lint cluster-build .cache/localcloud/.installed .cache/functions/.installed .cache/registry/.installed  ## the core of the tests on the test cluster, and the attacks: on a running one, or a fresh one (always fresh with CI=true)
	@$(ON_CLUSTER) $(CLUSTER_CORE)

# Knative's own tests want a cluster without any of our policies, and are what takes longest: test-conformance. The chart
# installs the product a second time: test-helm. Knative Eventing and its Ceph are compiled and downloaded for one test: test-eventing.
# Sidecars change Istio and Knative for all tenants: test-sidecars.
test-cluster-all: cluster-lint cluster-build .cache/dist/.client .cache/localcloud/.installed .cache/functions/.installed .cache/registry/.installed  ## all tests on the test cluster but those that have a target of their own
	@$(ON_CLUSTER) -m "long or not long" tests/cluster tests/isolation $(foreach name,conformance eventing sidecars chart build_kills,--ignore tests/cluster/test_$(name).py)

test-isolation: cluster-lint cluster-build .cache/localcloud/.installed .cache/functions/.installed .cache/registry/.installed  ## the attacks, on a cluster of their own
	@TEST_CLUSTER_FRESH=1 $(BIN)/python -m pytest tests/isolation -q -s -p tests.cluster.plugin --durations=10

test-conformance: cluster-lint cluster-build .cache/localcloud/.installed .cache/functions/.installed .cache/registry/.installed  ## Knative's own tests, without our policies and in a tenant's namespace, on a cluster of their own
	@TEST_CLUSTER_FRESH=1 $(BIN)/python -m pytest tests/cluster/test_conformance.py -q -s -p tests.cluster.plugin

test-eventing: cluster-lint cluster-build .cache/localcloud/.installed  ## Ceph's events through Knative's broker to the digest beside the object, on a cluster of their own
	@TEST_CLUSTER_FRESH=1 $(BIN)/python -m pytest tests/cluster/test_eventing.py -q -s -p tests.cluster.plugin

test-sidecars: cluster-lint cluster-build .cache/localcloud/.installed  ## level L3 with Istio's sidecars: mutual TLS, callers by identity, the attacks, on a cluster of their own
	@TEST_CLUSTER_FRESH=1 $(BIN)/python -m pytest tests/cluster/test_sidecars.py -q -s -p tests.cluster.plugin

test-helm: cluster-lint cluster-build .cache/localcloud/.installed  ## the chart on a cluster of its own: install, upgrade, roll back, uninstall
	@TEST_CLUSTER_FRESH=1 $(BIN)/python -m pytest tests/cluster/test_chart.py -q -s -p tests.cluster.plugin

test-build-kills: cluster-lint cluster-build .cache/localcloud/.installed .cache/functions/.installed .cache/registry/.installed  ## kills at each stage of a deployment from a folder, on a cluster of their own; twenty minutes or more
	@TEST_CLUSTER_FRESH=1 $(BIN)/python -m pytest tests/cluster/test_build_kills.py -q -s -p tests.cluster.plugin

bench-cluster: cluster-lint cluster-build .cache/localcloud/.installed .cache/functions/.installed .cache/registry/.installed  ## P8, P9 and P12: cold start, 200 idle tenants (BENCH_TENANTS), 10,000 records (BENCH_RECORDS), and gVisor beside runc, on a cluster of their own; three quarters of an hour
	@TEST_CLUSTER_FRESH=1 $(BIN)/python -m pytest tests/bench/on_cluster -q -s -p tests.cluster.plugin

cluster-cyclonus: cluster-build  ## cyclonus's whole default set of NetworkPolicy cases (three quarters of an hour)
	@TEST_CLUSTER_JUDGE=all $(BIN)/python -m pytest tests/cluster/test_policy_judge.py -q -s -p tests.cluster.plugin
