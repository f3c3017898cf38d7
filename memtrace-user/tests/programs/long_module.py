# Runs long code once it is asked to: its line table is long, it asks for memory in its last line alone, and it is gone a moment
# later, as the code of a module with large tables once that is loaded.
import sys

print("ready", flush=True)
sys.stdin.readline()
exec(compile("x = 1\n" * 5000 + "held = bytearray(7_000_000)\n", "long", "exec"))
# Whatever lay there is written over.
junk = [b"\xff" * size for size in range(4_000, 40_000, 16)]
print("done", flush=True)
sys.stdin.readline()
