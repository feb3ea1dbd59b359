"""The operators' door for browsers: pages over our rows, rendered by the server."""
