"""The ledger of a sweep: finished groups, which later runs do not compute again."""
