"""Every bad input through the real validation job."""
