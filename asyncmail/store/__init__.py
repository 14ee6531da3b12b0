"""Where accepted mail lives until it is sent, reported and forgotten."""
