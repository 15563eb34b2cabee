from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "agents"
    verbose_name = "Agents"

    def ready(self) -> None:
        from agents.auth import grants
        from agents.runs import deletion

        deletion.connect_signals()
        grants.connect_signals()
