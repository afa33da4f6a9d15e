"""Parts that only take the place of something that a production cluster brings. Each says what it stands for.

- `net_istio` stands in for Knative's net-istio controller.
- `gateways` stands in for the two Istio Gateways that net-istio's manifests bring.
- `doors` stands in for a load balancer in front of the API server.
"""
