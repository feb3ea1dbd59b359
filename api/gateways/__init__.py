"""What the hub of the gateways asks the API, and tells it."""
