"""What people and monitors look at: the status page, the metrics, the health checks.

``server`` listens and runs the rest in a thread of its own, ``app`` says which address shows what. ``middleware`` says
who may see it: ``visitors`` knows where a request comes from, ``sessions`` who signed in, and ``throttle`` how fast
tokens may be tried. ``pages`` gathers what a page shows, ``summary`` sums it up, ``filters`` and ``charts``
put it into form.
``metrics`` and ``health`` are for machines. Nothing here polls or delivers, and no delivery waits for a page.
"""
