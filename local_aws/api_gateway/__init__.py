"""REST APIs of API Gateway: what a template says of them, served on a port of 127.0.0.1 each."""
