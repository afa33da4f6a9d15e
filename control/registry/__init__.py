"""The token endpoint of the registry: who may pull and push which repositories."""
