"""The domain: agents, their runs, who supervises them, and what people see of them."""
