"""The results of a sweep: tables, matrices, figures and run.json."""
