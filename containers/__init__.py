"""Running a program somewhere: spec, engine interface, engines, protocols, images.

Knows nothing of agents, runs or logs: a program is started under a key, its output is a journal of bytes that can be
read again from any offset, and it is stopped and removed. Who wanted it, and what its output means to them, is theirs.
"""
