"""The cluster under the tenants: installing what it needs, judging what it is, and seeing it work.

`install` lays Istio, Knative and ourselves on a cluster; `facts` and `judge` say what is missing or unsafe; `verify`
calls a function. Pure decisions are in `sources`, `readiness` and `judge`; the rest asks Kubernetes, helm or kubectl.
"""
