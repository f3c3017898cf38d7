# Code of more functions than the BPF programs have room for until somebody looks: 9000, each from a file of its own. Each is called
# five times, and keeps what it makes.
import sys

SOURCE = """
def f(keep):
    keep.append(bytearray(600))
"""
functions = []
for number in range(9000):
    names = {}
    exec(compile(SOURCE, f"f{number}.py", "exec"), names)
    functions.append(names["f"])
kept = []
print("ready", flush=True)
for _ in sys.stdin:
    for _ in range(5):
        for function in functions:
            function(kept)
    print("done", flush=True)
