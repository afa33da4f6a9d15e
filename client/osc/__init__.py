"""Commands of `openstack` for the service `function`: entry points in distributions/client/pyproject.toml."""
