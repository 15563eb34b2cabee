"""Definitions: what can be run. Read from `agents.toml`, again whenever it changes."""

from agents.definitions.catalog import Catalog, CatalogFile, catalog
from agents.definitions.definition import Definition, DefinitionLimits

__all__ = ["Catalog", "CatalogFile", "Definition", "DefinitionLimits", "catalog"]
