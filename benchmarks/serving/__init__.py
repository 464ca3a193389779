"""How fast and how steady a service is."""
