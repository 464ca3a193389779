"""The methods of detection, each a detector of encoded rows."""
