"""One folder per destination, each found through the entry-point group ``forwarder.connectors``."""
