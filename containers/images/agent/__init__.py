"""The bundled agent: a model of any provider, with tools in the workspace. Built on pydantic-ai; see README.md."""
