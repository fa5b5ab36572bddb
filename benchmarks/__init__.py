"""Measures the jobs against a floor, textbook Spark and single passes: `make bench`, docs/performance.md."""
