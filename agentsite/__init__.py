"""The Django project: settings (the environment is read in `environment` only), urls, asgi, celery, command line."""
