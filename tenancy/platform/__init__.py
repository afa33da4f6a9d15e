"""The platform under the tenants: installs it, checks it, verifies that it works.

`install` puts Istio, Knative and this product on a cluster; `collect` reads facts, and `checks` report what is missing
or unsafe; `verify` calls a function. `sources`, `readiness` and `checks` are pure; the rest uses Kubernetes, helm or
kubectl.
"""
