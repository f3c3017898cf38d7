// A pool of its own over one block of malloc. Functions are named by the test with --alloc and --free.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) _exit(99);                                                                                       \
  } while (0)

struct pool {
  char *next, *end;
};

// Takes a chunk of 64 KiB from malloc when the last one is used up: within the call, so it does not count.
__attribute__((noinline)) void *pool_alloc(struct pool *pool, size_t size) {
  size = (size + 15) & ~(size_t)15;
  if ((size_t)(pool->end - pool->next) < size) {
    pool->next = malloc(65536);
    if (!pool->next) return NULL;
    pool->end = pool->next + 65536;
  }
  void *block = pool->next;
  pool->next += size;
  return block;
}

__attribute__((noinline)) int pool_make(struct pool *pool, void **result, size_t count, size_t size) {
  *result = pool_alloc(pool, count * size);
  return *result ? 0 : -1;
}

__attribute__((noinline)) void pool_free(struct pool *pool, void *block) { memset(block, 0, pool ? 1 : 0); }

// 300 blocks of 100 bytes, 100 of them freed.
__attribute__((noinline)) static void use(struct pool *pool) {
  for (int i = 0; i < 300; i++) {
    void *block = pool_alloc(pool, 100);
    CHECK(block);
    if (i % 3 == 0) pool_free(pool, block);
  }
}

// 1 block of 60 bytes.
__attribute__((noinline)) static void make(struct pool *pool) {
  void *block;
  CHECK(!pool_make(pool, &block, 3, 20));
}

int main(void) {
  struct pool pool = {NULL, NULL};
  char byte;
  CHECK(write(1, "ready\n", 6) == 6);
  CHECK(read(0, &byte, 1) == 1);
  use(&pool);
  make(&pool);
  CHECK(malloc(11));
}
