"""Migrations of the store, run by `osfaas db upgrade`."""
