"""What the benchmarks share: the neighbours of a mail service, the load, the tables."""
