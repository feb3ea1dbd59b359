"""What is looked at: the catalogue of metrics, alerts, objectives, dashboards, collection."""
