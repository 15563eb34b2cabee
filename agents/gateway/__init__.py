"""What leaves a run: connections to the Internet, calls of model providers, and the budgets of both."""
