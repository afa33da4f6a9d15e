"""Builds the configuration of the Envoy in front of gateways that run as plain processes.

On Kubernetes Istio's ingress gateway has that place (`manifests/gateway/edge.yaml`).
"""
