"""The bundled demo agent: analyses tables and texts. Scripted: no model is involved, but all of its work is real."""
