"""The operators' door: the Kubernetes API conventions over our rows."""
