"""A comparison on the command line: its cells in processes of their own, in a folder that keeps what is finished."""
