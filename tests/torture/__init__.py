"""The proof that nothing is lost and nothing is sent twice: crashes, faults and time, counted.

``python -m tests.torture`` is the long run; ``tests/test_torture.py`` holds a short one. ``world`` sets up a daemon
process and the services around it, ``rig`` a forwarder in this process whose time is moved by hand. ``kills``,
``matrix``, ``feed``, ``ground``, ``hostile`` and ``soak`` are the proofs; ``leaks`` looks for secrets in what they
left.
"""
