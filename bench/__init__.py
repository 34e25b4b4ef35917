"""Measurements of dnsd, alone and compared with other servers.

In `bench/` (measurements). Change here: the rules of all measurements.

`python -m bench` starts dnsd and three other servers that serve the same names, sends the same
queries to all of them, and writes the results into docs/performance.md:

* the *floor*: a bare C loop that receives a packet, sets one bit, and sends it back. A server that
  uses the same system calls cannot cost less;
* NSD and Knot, the two fastest authoritative servers of a usual distribution.

Rules:

1. Compare only ratios within one run. The servers take turns within each round, so a slower
   machine slows all of them.
2. CPU time is the kernel's count for all processes and threads of a server.
3. Each answer is checked before a measurement, and each response code during it.
4. A missed goal is printed as missed, with the difference.
"""
