"""Random networks, random cuts, and a proof that knows nothing of sites: `make fuzz N=2000`."""
