"""HDF5 files below the format: what is refused, how they are opened and written."""
