"""What only a person's own machine needs; never imported on Lambda."""
