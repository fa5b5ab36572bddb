"""One construct per concern; each takes the constructs it needs and tells what it gives away by `grant_…` methods."""
