"""The store of durable work: SQLAlchemy and Alembic on PostgreSQL, MariaDB or SQLite.

It imports nothing of the product.

`Database` (`database.py`) holds the connections and runs a transaction in one of its threads: `await db.run(work, …)`,
where `work` is a function whose first parameter is a connection. The functions are in modules by their user:

- `accepting`: what the gateway does (accept, look up, list, cancel, retry);
- `batches`: many operations accepted in one transaction;
- `working`: what a worker does (claim, renew, finish, reap);
- `callbacks`: what is due for delivery;
- `objects`: where bodies are that are objects of the caller's project;
- `sweeps`: how far sweeps have come;
- `delegations`: the trusts of unfinished operations;
- `usage`: records of calls, and their sums by hour.

All times are milliseconds since the epoch of the *database's* clock (`clock.now_ms`): the clocks of gateways and
workers decide nothing, so a step of one loses nothing and doubles nothing.
"""
