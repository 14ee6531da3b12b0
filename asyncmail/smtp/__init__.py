"""The SMTP session driver that the smtp transport stands on."""
