from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "agentsite"

    def ready(self) -> None:
        """Every process that loads Django can hand work to the workers: tasks belong to our Celery application."""
        import agentsite.celery  # noqa: F401
