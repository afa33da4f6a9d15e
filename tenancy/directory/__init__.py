"""The tenant directory of the gateway: tenants by project, and the addresses of their functions."""
