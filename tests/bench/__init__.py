"""Speed, cost and growth of the forwarder, measured: ``make bench``.

Every figure says what is inside the measured span. The stand-ins run in a process of their own, so that what they cost
is not counted; they share the machine, though, and on two cores that is felt.
"""
