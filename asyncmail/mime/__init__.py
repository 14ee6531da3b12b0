"""Message to bytes: the same bytes every time, built directly."""
