"""Training, scoring, start-up and reports beside known programs."""
