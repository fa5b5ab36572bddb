"""What is deployed: one stack that keeps data, one that works on it."""
