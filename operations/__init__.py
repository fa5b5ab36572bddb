"""The operator's command line: the same on AWS and on the embedded AWS."""
