"""How numbers, texts and scores are shown, everywhere alike."""
