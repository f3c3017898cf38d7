"""Keeps small objects, says what the interpreter's own allocator counts (as `sys._debugmallocstats` does), and waits."""
import os
import sys

kept = [{index: str(index)} for index in range(50000)]
del kept[::3]
os.dup2(1, 2)
print("ready", flush=True)
sys._debugmallocstats()
print("done", flush=True)
sys.stdin.readline()
