"""Renderings of a :class:`fastbench.results.Result`: console, result folder and its files."""
