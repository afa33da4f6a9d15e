"""Rows that need the test cluster: P8 (cold start) and P9 (many idle tenants). `make bench-cluster`."""
