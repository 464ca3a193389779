"""Are alarms such as people can live with: groups, verdicts, watching."""
