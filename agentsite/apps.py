from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "agentsite"

    def ready(self) -> None:
        """Load our Celery application, so that every process can send tasks to the workers."""
        import agentsite.celery  # noqa: F401
