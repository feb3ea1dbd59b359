"""Terminal sessions: what runs them, and what is known of those that run."""
