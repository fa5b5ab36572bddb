"""The pipeline on one computer: what `make run`, `make up` and `make down` do with our stacks on the embedded AWS."""
