"""One request on the wire: how long it may take as a whole, how much it may answer, and that it goes nowhere else."""
