"""Delivery: claim, deliver, settle; one dispatcher for each connector."""
