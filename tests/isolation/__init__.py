"""One file per attack: it fails at its level, and it works as soon as its own defence is taken away.

The attacks are those of `osfaas tenant verify` (`tenancy.verify`), asked by the same code. `arena` sets the stage once
for all of them; docs/explanation/isolation-levels.md says which attack belongs to which pitfall.
"""
