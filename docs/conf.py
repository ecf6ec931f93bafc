"""Sphinx configuration."""

project = "steinmix"
copyright = "2026, the steinmix developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc"]
html_theme = "furo"
exclude_patterns = ["_build"]
numpydoc_show_class_members = False
autodoc_typehints = "none"
# Made by scikit-learn for every estimator; their text points at pages of scikit-learn.
made = ("fit", "inverse_transform", "predict", "score")
autodoc_default_options = {"exclude-members": ", ".join(f"set_{name}_request" for name in made)}
# `means_` of an estimator's attributes is that of several classes.
suppress_warnings = ["ref.python"]
