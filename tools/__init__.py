"""Programs that make parts of the pages; each says how it is called."""
