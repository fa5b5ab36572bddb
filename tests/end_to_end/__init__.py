"""The whole pipeline on the embedded AWS with real Spark."""
