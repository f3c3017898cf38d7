// A library that wraps the allocator: preloaded, it calls the next one, and counts for itself.
// At the end it prints them: "allocs frees bytes".
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Atomic unsigned long allocs, frees, bytes;
static void *(*next_malloc)(size_t), *(*next_calloc)(size_t, size_t), *(*next_realloc)(void *, size_t);
static void (*next_free)(void *);

static void *count(void *block, size_t size) {
  if (block) {
    allocs++;
    bytes += size;
  }
  return block;
}

__attribute__((constructor)) static void find(void) {
  if (next_malloc) return;
  next_calloc = dlsym(RTLD_NEXT, "calloc");
  next_realloc = dlsym(RTLD_NEXT, "realloc");
  next_free = dlsym(RTLD_NEXT, "free");
  next_malloc = dlsym(RTLD_NEXT, "malloc");
}

void *malloc(size_t size) {
  find();
  return count(next_malloc(size), size);
}

void *calloc(size_t blocks, size_t size) {
  find();
  return count(next_calloc(blocks, size), blocks * size);
}

// Ends in a jump (when compiled so): the next function returns to the caller of this one.
void *realloc(void *block, size_t size) {
  find();
  if (!block) return malloc(size);
  if (size) {
    allocs++;
    bytes += size;
  }
  frees++;
  return next_realloc(block, size);
}

void free(void *block) {
  find();
  if (block) frees++;
  next_free(block);
}

__attribute__((destructor)) static void tell(void) {
  char line[100];
  // Not dprintf, which allocates.
  int length = snprintf(line, sizeof line, "%lu %lu %lu\n", allocs, frees, bytes);
  if (write(1, line, length) != length) abort();
}
