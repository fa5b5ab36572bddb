"""Tests of the embedded AWS; they know nothing of music."""
