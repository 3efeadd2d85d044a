"""How much a recognizer leans on static appearance."""
