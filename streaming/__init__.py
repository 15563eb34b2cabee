"""The log engine. It knows an agent only by its id.

Data flows one way: `write` → `store` → `read` → `http`. All four build on `model`. The write side and the read side
meet only in the store.
"""
