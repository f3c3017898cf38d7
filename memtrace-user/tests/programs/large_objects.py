"""Keeps fifty objects of one MiB. Says, if it is traced by tracemalloc, the current and highest sums that this counts from the
program's beginning on."""
# Not `tracemalloc`, which imports much.
import _tracemalloc as tracemalloc

tracemalloc.clear_traces()
kept = [b"0" * 1024 * 1024 for _ in range(50)]
if tracemalloc.is_tracing():
    print(0, *tracemalloc.get_traced_memory(), flush=True)
