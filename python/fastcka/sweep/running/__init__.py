"""Computing the groups of a sweep."""
