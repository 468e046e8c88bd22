"""The blocks that random networks are made of, one file per family."""
