from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "agents"
    verbose_name = "Agents"

    def ready(self) -> None:
        from agents import deletion, revocation

        deletion.connect_signals()
        revocation.connect_signals()
