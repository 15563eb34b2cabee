"""Measurements of whole commands, as ratios within one run. Not tests: machines differ, and are shared."""
