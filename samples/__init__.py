"""Made-up data to run and test with."""
