"""What a log says: event types, cursors, the fold to a state, and the limits of that state. No input or output."""
