"""Usage: a record of each finished call in the store, and the route that sums them up."""
