"""The plan of a sweep: groups, their examples, their memory."""
