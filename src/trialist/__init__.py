"""Trialist decides what to try next in machine learning, runs it, and remembers everything."""
