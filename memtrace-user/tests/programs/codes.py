"""Makes functions that die, so that others get their addresses; each keeps a block of its own size, made on its own line."""
import os

kept = []


def one(number):
    names = {}
    source = "\n" * (number % 40) + f"def f(x):\n    return bytes({100000 + number})\n"
    exec(compile(source, f"<made {number % 7}>", "exec"), names)
    kept.append(names["f"](number))
    return id(names["f"].__code__)


addresses = {one(number) for number in range(700)}
# Without that, there is nothing to see here.
assert len(addresses) < 600, len(addresses)
os._exit(0)
