"""Holds 50 blocks of a library in C and 70 objects of the interpreter's."""
import ctypes

malloc = ctypes.CDLL(None).malloc
malloc.restype = ctypes.c_void_p
malloc.argtypes = [ctypes.c_size_t]
blocks = [malloc(1000) for _ in range(50)]
objects = [bytes(2000) for _ in range(70)]
