"""What an attempt and its program say to each other: protocols, parsing, coalescing, history."""
