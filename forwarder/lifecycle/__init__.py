"""What happens to an alert after it was routed. Pure: what is decided here is given the time, and touches no store."""
