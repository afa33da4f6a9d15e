"""One file per attack: it fails at its level, and it works as soon as its own defence is taken away.

The attacks are those of `osfaas tenant verify` (`tenancy.isolation`), run by the same code. `arena` creates the
fixtures once for all of them; docs/explanation/security.md says which attack belongs to which pitfall.
"""
