// mimalloc's own functions, with what tests/privileged/allocators.rs expects. Linked against mimalloc.
#include <mimalloc.h>
#include <unistd.h>

#define APART __attribute__((noinline))
#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) _exit(99);                                                                                       \
  } while (0)

// 6 blocks, 3,200 bytes, 5 of them freed, 2,000 bytes.
APART static void own(void) {
  mi_free(mi_malloc(100));
  mi_free_size(mi_zalloc(200), 200);
  mi_free(mi_mallocn(5, 100));
  void *block = mi_malloc_aligned(700, 64);
  CHECK(block && (block = mi_recalloc(block, 5, 100)));
  CHECK((block = mi_reallocn(block, 6, 200)));
}

// 3 blocks, 1,400 bytes, 2 of them freed, 600 bytes.
APART static void on_heap(void) {
  mi_heap_t *heap = mi_heap_new();
  void *block = mi_heap_malloc(heap, 100);
  CHECK(block && (block = mi_heap_realloc(heap, block, 500)));
  CHECK(mi_heap_calloc_aligned(heap, 8, 100, 32));
  mi_free(block);
  mi_heap_delete(heap);
}

int main(void) {
  char byte;
  CHECK(write(1, "ready\n", 6) == 6);
  CHECK(read(0, &byte, 1) == 1);
  own();
  on_heap();
}
