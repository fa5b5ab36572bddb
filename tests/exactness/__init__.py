"""The law holds under any history: an in-memory DynamoDB, a simulation on it, and random histories."""
