"""Budgets: how much a run, an agent, and a user a day may use.

meter      what a run has used of what it may: a fold over its events
spending   what an agent, and a user today, have used over all runs: rows, added to as logs are committed
guard      stands before each model call of a run, and stops it, or has it ask
"""
