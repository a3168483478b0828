"""Searchers: what to try next. One a file; loaded by name through the registry, so that none is paid for unless used."""
