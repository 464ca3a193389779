"""Tables: frames, values, kinds of columns, and the encoder that turns rows into numbers."""
