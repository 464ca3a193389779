"""What any method needs: training, thresholds, measures. It knows no method, tables or files."""
