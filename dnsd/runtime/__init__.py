"""What every process of dnsd needs of its event loop and its system: loop, tasks, memory, priority.

In `runtime/` (both planes; imports no other package of dnsd). Change here: how a process runs.
"""
