"""A real single-node Kubernetes with Cilium, Istio and Knative on this machine, for tests.

Nothing here is part of the product. `recipes/` builds every program and image from package registries, `node/` runs
inside the namespaces of the node and is the machine that a cluster's administrator would install, `platform/`
installs what runs in the cluster, and `standins/` holds the parts that only take the place of something a production
cluster brings. `session` starts and ends all of it, `leftovers` proves that nothing stays, `plugin` hands the
running cluster to pytest. docs/how-to/test-cluster.md tells the rest.
"""
