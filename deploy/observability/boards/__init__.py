"""Dashboards as code; `python -m deploy.observability.boards` writes their JSON."""
