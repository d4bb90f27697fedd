"""Several trained networks as one accelerator that adds up their votes."""
