"""Allocates through C from ever other places: recursion, callbacks of the interpreter, generators, coroutines, threads."""
import ctypes
import os
import threading

libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]


def take(size):
    libc.malloc(size)


def deep(depth, size):
    return take(size) if depth == 0 else deep(depth - 1, size)


def called_back(size):
    sorted([1], key=lambda _: deep(2, size))


def steps(size):
    deep(1, size)
    yield 1


async def outer(size):
    await inner(size)


async def inner(size):
    deep(1, size)


class Made:
    def __init__(self, size):
        deep(1, size)


deep(5, 1000002)
called_back(1000003)
list(steps(1000004))
try:
    outer(1000005).send(None)
except StopIteration:
    pass
Made(1000006)
exec("deep(0, 1000007)")
list(map(called_back, [1000008]))
thread = threading.Thread(target=take, args=(1000009,))
thread.start()
thread.join()
# A thread that Python does not know.
handle = ctypes.c_ulong()
libc.pthread_create(ctypes.byref(handle), None, ctypes.cast(libc.malloc, ctypes.c_void_p), ctypes.c_void_p(1000010))
libc.pthread_join(handle, None)
os._exit(0)
