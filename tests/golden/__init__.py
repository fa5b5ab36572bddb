"""Cases as folders, and the test that runs them."""
