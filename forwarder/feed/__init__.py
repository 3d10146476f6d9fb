"""The feed: the Sentrytex API, its budget and errors, and one turn of reading it."""
