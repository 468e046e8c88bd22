"""Linear layers after each other made one: exact, or refused."""
