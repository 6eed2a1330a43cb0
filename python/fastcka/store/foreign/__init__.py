"""Arrays and ids in files of other programs."""
