"""The checksums function: reads one object once and returns all digests that were asked for.

One call, from the outside in: `server` (routes, heartbeat, answers) → `orders` (what is asked for) → `threads` (a
slot) → `source` or `body` (the bytes) → `pipeline` (a ring of buffers and one thread per slow digest) → `algorithms`.
`errors` is the closed list of what can go wrong, `settings` is read once.
"""
