"""Measures how much a plan per question saves, on finished searches of the embedded model."""
