"""What runs in AWS Glue: two thin entries over pure modules."""
