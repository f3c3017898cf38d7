"""Processes that come of one: forked by multiprocessing, and executed by subprocess. Each keeps objects of known sizes.

A forked child, as its parent, also runs code that it has made after the fork, whose objects may lie where others of its
relatives have theirs. The one that is executed goes on when a file is there, whose name is the argument.
"""
import multiprocessing
import os
import subprocess
import sys


def keep(count):
    kept = [None] * count
    for index in range(count):
        kept[index] = bytes(1000)
    return kept


def keep_by_made_code(who):
    kept = []
    for number in range(60):
        names = {}
        exec(compile("def f():" + "\n" * (number % 7 + 1) + f" return bytes({20000 + number})", f"<{who} {number}>", "exec"), names)
        kept.append(names["f"]())
    return kept


def child(number):
    kept = keep(1000 * number), keep_by_made_code(number)
    # What it keeps is not given back.
    os._exit(0 if kept else 1)


def wait(file):
    while not os.path.exists(file):
        bytes(777)


if sys.argv[2:]:
    wait(sys.argv[1])
    kept = keep(int(sys.argv[2]))
else:
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=child, args=(number,)) for number in (1, 2, 3)]
    for one in children:
        one.start()
    kept = keep(500), keep_by_made_code("parent")
    for one in children:
        one.join()
        assert one.exitcode == 0
    subprocess.run([sys.executable, __file__, sys.argv[1], "4000"], check=True)
