// jemalloc's own functions, with what tests/privileged/allocators.rs expects. Linked against jemalloc.
#include <jemalloc/jemalloc.h>
#include <unistd.h>

#define APART __attribute__((noinline))
#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) _exit(99);                                                                                       \
  } while (0)

// 2 blocks, 1,100 bytes, both freed.
APART static void flagged(void) {
  void *block = mallocx(100, MALLOCX_ZERO | MALLOCX_ALIGN(64));
  CHECK(block && nallocx(5000, 0) >= 5000 && sallocx(block, 0) >= 100);
  sdallocx(block, 100, MALLOCX_ALIGN(64));
  block = mallocx(1000, 0);
  CHECK(block);
  dallocx(block, 0);
}

// 2 blocks, 10,100 bytes, the first freed.
APART static void moved(void) {
  void *block = mallocx(100, 0);
  CHECK(block && (block = rallocx(block, 10000, 0)));
}

// 1 block of 100 bytes, in room for 112, that becomes 90 bytes in its place, cannot become 100,000,000, and becomes 95 with
// the 10 more that are welcome: in all 3 blocks, 295 bytes, of which 105 bytes are live; 1 call fails.
APART static void in_place(void) {
  void *block = mallocx(100, 0);
  CHECK(block && sallocx(block, 0) == 112);
  CHECK(xallocx(block, 90, 0, 0) == 112);
  CHECK(xallocx(block, 100000000, 0, 0) < 100000000);
  CHECK(xallocx(block, 95, 10, 0) >= 95);
}

int main(void) {
  char byte;
  CHECK(write(1, "ready\n", 6) == 6);
  CHECK(read(0, &byte, 1) == 1);
  flagged();
  moved();
  in_place();
}
