"""IAM as AWS enforces it: who asks, what for, and what the deployed policies say about it."""
