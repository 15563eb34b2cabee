from agents.models.agent import Agent
from agents.models.approval import ApprovalAnswer
from agents.models.attempt import Attempt
from agents.models.data_directory import DataDirectory
from agents.models.host import Host
from agents.models.provider_key import ProviderKey
from agents.models.run import Run
from agents.models.spending import Spending
from agents.models.token import ApiToken, LoginLink, StreamTicket
from agents.models.usage import DailyUse

__all__ = [
    "Agent",
    "ApiToken",
    "ApprovalAnswer",
    "Attempt",
    "DailyUse",
    "DataDirectory",
    "Host",
    "LoginLink",
    "ProviderKey",
    "Run",
    "Spending",
    "StreamTicket",
]
