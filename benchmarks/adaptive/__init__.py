"""How much a plan per question saves, on a finished search of the embedded model."""
