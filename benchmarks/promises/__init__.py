"""What the program promises: false alarms, contamination, explanations."""
