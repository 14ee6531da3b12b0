"""The REST API: the only part that knows FastAPI."""
