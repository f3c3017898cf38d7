"""Waits, keeps objects and gives others back; then ends a tracemalloc, if there is one."""
import sys
import tracemalloc

print("ready", flush=True); sys.stdin.readline()
kept = [bytes(100) for _ in range(5000)]
grown = [bytearray(10) for _ in range(1000)]
for one in grown: one.extend(bytes(290))
for index in range(3000): str(index + 100000)
print("done", flush=True)
sys.stdin.readline()
tracemalloc.stop()
print("done", flush=True)
sys.stdin.readline()
