"""Dev environments for agents: start, stop, status, and what connects to one."""
