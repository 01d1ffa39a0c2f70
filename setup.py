"""Lets `python setup.py` and old pip versions install the project; everything is declared in pyproject.toml."""

from setuptools import setup

setup()
