"""Measures every five minutes what no job can measure: files that do not arrive."""
