"""Keeps a list and a dictionary, whose lines hold a known number of bytes and blocks.

Says, if it is traced by tracemalloc, what that counts for them, and the current and highest sums.
"""
import tracemalloc


def generate_large_list(size):
    return [i for i in range(size)]


def generate_large_dict(size):
    return {f"key_{i}": i for i in range(size)}


kept = (generate_large_list(100000), generate_large_dict(100000))
if tracemalloc.is_tracing():
    current, peak = tracemalloc.get_traced_memory()
    for statistic in tracemalloc.take_snapshot().statistics("lineno"):
        frame = statistic.traceback[0]
        if frame.filename == __file__:
            print(frame.lineno, statistic.size, statistic.count)
    print(0, current, peak, flush=True)
