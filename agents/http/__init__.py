"""What all HTTP interfaces share: problems, JSON bodies and the schemas of requests and answers."""
