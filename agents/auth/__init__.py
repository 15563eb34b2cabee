"""Who is asking and what they may see: tokens, sessions, tickets, limits on guessing, access that ends."""
