"""What holds for any data."""
