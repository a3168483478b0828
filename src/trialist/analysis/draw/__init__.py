"""Renderers of plot records: matplotlib, Plotly, and inline SVG, which needs no library."""
