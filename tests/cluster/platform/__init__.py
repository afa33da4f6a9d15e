"""What runs in the cluster before any test does: DNS, Istio, Knative."""
