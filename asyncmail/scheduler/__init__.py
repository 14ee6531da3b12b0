"""When to send what: claims, attempts, reports and retention, driven by events and due times."""
