"""How fast dnsd is, and against whom.

`python -m bench` starts dnsd beside three others that answer the same names, asks all of
them the same questions, and writes what came out into docs/performance.md:

* the *floor*: a bare C loop that receives a packet, sets one bit and sends it back. No
  server that goes through the same system calls can be cheaper;
* NSD and Knot, the two fastest authoritative servers that a distribution carries.

The rules that keep the figures honest:

1. Only ratios taken in one run are compared; the servers take turns within every round,
   so that a machine that slows down slows all of them.
2. CPU time is the kernel's count of every process and thread a server has, helpers too.
3. Every answer is checked before anything is timed, and every reply code while it is.
4. What was promised and not reached is printed as missed, and by how much.
"""
