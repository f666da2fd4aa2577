"""Who computes a workload. A peer is a module with `prepare`, `recompute` and `answers`; see `contract`."""
