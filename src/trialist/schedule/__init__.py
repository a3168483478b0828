"""Schedulers: which trials go on, decided from their reports. One a file; loaded by name through the registry."""
