"""Tests of what happens to an alert after it was routed."""
