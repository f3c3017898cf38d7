// C++'s operators new and delete, with what tests/privileged/allocators.rs expects of each function.
#include <cstdint>
#include <cstring>
#include <new>
#include <unistd.h>

#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) _exit(99);                                                                                       \
  } while (0)
#define APART __attribute__((noinline))

// The compiler may leave out a pair of new and delete whose block it sees unused.
static void *volatile used;
static void *use(void *block) {
  used = block;
  return used;
}

// 200 blocks, 20,100 bytes, 100 of them freed, 10,000 bytes.
APART static void plain() {
  for (int size = 1; size <= 200; size++) {
    void *block = ::operator new(size);
    memset(block, 1, size);
    if (size % 2 == 1) ::operator delete(block);
  }
}

// 3 blocks, 5,720 bytes, all freed.
APART static void sized() {
  ::operator delete(use(::operator new(20)), std::size_t(20));
  ::operator delete[](use(::operator new[](700)), std::size_t(700));
  ::operator delete[](use(::operator new[](5000)));
}

// 4 blocks, 5,440 bytes, 2 of them freed, 320 bytes. Multiples of the alignment, to which libstdc++ rounds up.
APART static void aligned() {
  auto wide = std::align_val_t(64);
  ::operator delete(use(::operator new(128, wide)), wide);
  ::operator delete[](use(::operator new[](192, wide)), std::size_t(192), wide);
  CHECK(use(::operator new(1024, wide)) && use(::operator new[](4096, std::align_val_t(4096), std::nothrow)));
}

// 3 blocks, 333 bytes, 2 of them freed, 222 bytes.
APART static void nothrow() {
  ::operator delete(use(::operator new(111, std::nothrow)), std::nothrow);
  ::operator delete[](use(::operator new[](111, std::nothrow)), std::nothrow);
  CHECK(use(::operator new(111, std::nothrow)));
}

// 2 blocks, 2,000,077 bytes, 1 freed, 77 bytes: the slow ways of allocators.
APART static void large() {
  CHECK(use(::operator new(2000000)));
  ::operator delete[](use(::operator new[](77)));
}

APART static void *take(std::size_t size) { return use(::operator new(size)); }

// Each try throws; the 100 blocks after each are taken at deeper and at higher places of the stack.
APART static void taken_deeper(int depth) {
  volatile char room[64];
  room[0] = 1;
  if (depth) return taken_deeper(depth - 1);
  for (int i = 0; i < 100; i++) ::operator delete(take(10));
}

// 300 blocks, 3,000 bytes, all freed, and 3 calls that throw.
APART static void thrown() {
  for (int i = 0; i < 3; i++) {
    try {
      take(PTRDIFF_MAX);
      _exit(98);
    } catch (const std::bad_alloc &) {
    }
    taken_deeper(i * 3);
  }
}

int main(int, char **words) {
  char byte;
  CHECK(write(1, "ready\n", 6) == 6);
  CHECK(read(0, &byte, 1) == 1);
  plain();
  sized();
  aligned();
  nothrow();
  large();
  if (words[1] && *words[1]) thrown();
}
