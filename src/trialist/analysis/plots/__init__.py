"""Plots of a study as data: ``make_plot(snapshot, kind)`` gives the record that every renderer draws."""
