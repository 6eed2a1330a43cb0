"""The question of a sweep: which representations and pairs, from labels alone."""
