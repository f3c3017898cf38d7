# Objects of Python as programs make them, or one kind at a chosen depth of functions. Writes the CPU seconds of that alone, so
# that the start of the interpreter does not count.
#
#   objects.py FILE mixed          dictionaries, lists and strings by way of JSON
#   objects.py FILE deep N         one block at a time, N functions deep
import json
import sys
import time


def mixed():
    for _ in range(250):
        json.loads(json.dumps([{str(k): [k] * 5} for k in range(300)]))


def blocks():
    for _ in range(400_000):
        bytes(700)


def deep(functions):
    if functions > 1:
        deep(functions - 1)
    else:
        blocks()


start = time.process_time()
if sys.argv[2] == "mixed":
    mixed()
else:
    deep(int(sys.argv[3]))
with open(sys.argv[1], "w") as file:
    file.write(str(time.process_time() - start))
