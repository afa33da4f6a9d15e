"""The tenant directory of the gateway: which tenant a project is, and where its functions are."""
