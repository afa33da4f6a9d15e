"""Access to the Kubernetes API: client, kinds, watches, and the state of pods."""
