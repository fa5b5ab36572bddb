"""The state machines, run on the embedded AWS."""
