// The whole interface of C, one function a kind of call, with what tests/privileged/allocators.rs expects of each. Runs
// with any allocator: nothing here depends on how it rounds or what it does with sizes of 0.
#define _GNU_SOURCE
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Walloc-size-larger-than="

#define APART __attribute__((noinline))
#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) _exit(99);                                                                                       \
  } while (0)

// 300 blocks, 45,150 bytes, of which the even ones are freed: 150 blocks, 22,650 bytes.
APART static void plain(void) {
  for (int size = 1; size <= 300; size++) {
    char *block = malloc(size);
    CHECK(block && malloc_usable_size(block) >= (size_t)size);
    memset(block, 1, size);
    if (size % 2 == 0) free(block);
  }
  free(NULL);
}

// 2 blocks, 1,021 bytes, 1 of 21 bytes freed; 1 call fails.
APART static void products(void) {
  void *block = calloc(3, 7);
  CHECK(block && calloc(10, 100));
  free(block);
  CHECK(!calloc(SIZE_MAX / 2, 3));
}

// 5 blocks, 2,148,150 bytes, all but the last (1,000,000 bytes) freed.
APART static void resized(void) {
  void *block = realloc(NULL, 100);
  CHECK(block && (block = realloc(block, 5000)));
  CHECK((block = realloc(block, 50)) && (block = realloc(block, 1143000)));
  CHECK((block = reallocarray(block, 1000, 1000)));
  CHECK(!realloc(block, PTRDIFF_MAX));
}

// 5 blocks, 9,234 bytes, of which the first, 1,001 bytes, is freed.
APART static void aligned(void) {
  void *block;
  CHECK(!posix_memalign(&block, 256, 1001));
  CHECK((uintptr_t)block % 256 == 0);
  free(block);
  CHECK(!posix_memalign(&block, 64, 5000) && aligned_alloc(64, 128) && memalign(4096, 33) && valloc(3072));
}

// 1 block, 10 bytes.
APART static void copied(void) { CHECK(strdup("nine byte")); }

// 1 block, 3,000,000 bytes, freed: larger than what any allocator keeps in its own lists.
APART static void large(void) {
  char *block = malloc(3000000);
  CHECK(block);
  memset(block, 1, 3000000);
  free(block);
}

int main(int count, char **words) {
  char byte;
  if (count > 1 && !strcmp(words[1], "wait")) {
    CHECK(write(1, "ready\n", 6) == 6);
    CHECK(read(0, &byte, 1) == 1);
  }
  plain();
  products();
  resized();
  aligned();
  copied();
  large();
  return 0;
}
