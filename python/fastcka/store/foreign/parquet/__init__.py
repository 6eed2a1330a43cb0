"""Parquet files, read by pyarrow."""
