"""The way out of a container that has no network: a Unix socket a run, see server.py."""

from containers.gateway.destinations import Allowlist, Destination, DestinationInvalid, Pattern
from containers.gateway.place import GatewayPlace
from containers.gateway.server import Connection, Gateway

__all__ = ["Allowlist", "Connection", "Destination", "DestinationInvalid", "Gateway", "GatewayPlace", "Pattern"]
