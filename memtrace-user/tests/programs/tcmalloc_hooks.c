// A library that counts by tcmalloc's own hooks what its callers allocate and free, from when it is loaded to the very end of
// the process: three numbers in the file that COUNTS names, "allocations, frees, bytes", as 64-bit words. Preloaded into
// a program that says nothing itself: it says that it is ready, and goes on after a byte.
#include <fcntl.h>
#include <gperftools/malloc_hook_c.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic unsigned long *counts;

static void allocated(const void *block, size_t size) {
  if (!block) return;
  counts[0]++;
  counts[2] += size;
}

static void freed(const void *block) {
  if (block) counts[1]++;
}

__attribute__((constructor)) static void begin(void) {
  char byte;
  int file = open(getenv("COUNTS"), O_RDWR);
  counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (counts == MAP_FAILED || write(1, "ready\n", 6) != 6 || read(0, &byte, 1) != 1) _exit(99);
  if (!MallocHook_AddNewHook(allocated) || !MallocHook_AddDeleteHook(freed)) _exit(98);
}
