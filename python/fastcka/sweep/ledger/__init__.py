"""The ledger of a sweep: finished groups, which later runs reuse."""
