"""Slow twins of what the library computes: loops in float64 and autograd, written from the papers alone."""
