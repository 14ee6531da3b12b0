"""The plugin machinery: what plugins are made of, how they are found, and how they are called."""
