"""What runs in a worker process: Celery tasks, the supervisor of an agent, execution of a run, and clean-up."""
