"""Durable work: what outlives a connection, in an SQL store, done by workers."""
