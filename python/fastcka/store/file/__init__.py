"""One file of a store: its format, reading and writing."""
