"""Access to the Kubernetes API: client, kinds, watches, and what pods say about themselves."""
