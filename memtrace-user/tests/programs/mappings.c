// Maps and unmaps memory in every way.
//
//   mappings           takes turns with its test: `e` makes the mappings that the test knows, `t` lets several threads do
//                      at random what can be done, `b` keeps small blocks, `q` ends
//   mappings stop      both at once, then stops itself
//   mappings forks     has mappings, and a child with others, which executes a program with yet others
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "talk.h"

#define PAGE ((size_t)sysconf(_SC_PAGESIZE))

enum { THREADS = 4, ROUNDS = 3000, ARENA = 512 };

#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)
#define NOINLINE __attribute__((noinline))
#define ACCESS (PROT_READ | PROT_WRITE)

static void must(int holds) {
  if (!holds) _exit(97);
}

static void *checked(void *address) {
  must(address != MAP_FAILED);
  return address;
}

// 10 pages, of which 7 stay: 3 in the middle go.
NOINLINE static char *split(void) {
  char *at = checked(mmap(NULL, 10 * PAGE, ACCESS, ANONYMOUS, -1, 0));
  must(munmap(at + 4 * PAGE, 3 * PAGE) == 0);
  return at;
}

// 6 pages, 2 of which another call covers.
NOINLINE static char *covered(void) { return checked(mmap(NULL, 6 * PAGE, ACCESS, ANONYMOUS, -1, 0)); }
NOINLINE static char *covers(char *at) {
  return checked(mmap(at + PAGE, 2 * PAGE, ACCESS, ANONYMOUS | MAP_FIXED, -1, 0));
}

// 3 pages that move and become 9.
NOINLINE static char *moved(void) { return checked(mmap(NULL, 3 * PAGE, ACCESS, ANONYMOUS, -1, 0)); }
NOINLINE static char *moves(char *at) {
  char *place = checked(mmap(NULL, 9 * PAGE, PROT_NONE, ANONYMOUS, -1, 0));
  return checked(mremap(at, 3 * PAGE, 9 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place));
}

// 5 pages, gone whole. 8 pages that stay although it is tried to unmap them.
NOINLINE static char *gone(void) {
  char *at = checked(mmap(NULL, 5 * PAGE, ACCESS, ANONYMOUS, -1, 0));
  must(munmap(at, 5 * PAGE) == 0);
  return at;
}
NOINLINE static char *kept(void) {
  char *at = checked(mmap(NULL, 8 * PAGE, ACCESS, ANONYMOUS, -1, 0));
  must(munmap(at + 1, PAGE) != 0);
  must(munmap(at, 0) != 0);
  return at;
}

// 16 pages reserved, of which 5 become accessible.
NOINLINE static char *reserved(void) {
  char *at = checked(mmap(NULL, 16 * PAGE, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0));
  must(mprotect(at + 2 * PAGE, 5 * PAGE, ACCESS) == 0);
  return at;
}

// 2 pages that children would share; a file's page does not count.
NOINLINE static char *shared(void) { return checked(mmap(NULL, 2 * PAGE, ACCESS, MAP_SHARED | MAP_ANONYMOUS, -1, 0)); }
NOINLINE static char *of_file(void) {
  FILE *file = fopen("/proc/self/exe", "r");
  must(file != NULL);
  char *at = checked(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fileno(file), 0));
  fclose(file);
  return at;
}

// 4 pages more at the end of the heap segment.
NOINLINE static char *broken(void) { return checked(sbrk(4 * PAGE)); }

// A block of 64 MiB, which malloc maps: its pages and one for its header.
NOINLINE static char *large_block(void) { return checked(malloc(64 << 20)); }

static void expected(void) {
  void *volatile kept_alive[16];
  int i = 0;
  kept_alive[i++] = split();
  kept_alive[i++] = covers(covered());
  kept_alive[i++] = moves(moved());
  kept_alive[i++] = gone();
  kept_alive[i++] = kept();
  kept_alive[i++] = reserved();
  kept_alive[i++] = shared();
  kept_alive[i++] = of_file();
  kept_alive[i++] = large_block();
  // Last, as malloc must not find the end of the segment moved before.
  kept_alive[i++] = broken();
}

// 4 MiB in blocks of 1,000 bytes, which malloc takes from the end of the heap segment.
NOINLINE static void small_blocks(void) {
  for (int i = 0; i < 4 << 10; i++) must(malloc(1000) != NULL);
}

// 5 pages; 7, and 2 of the parent's go; 3.
NOINLINE static char *of_parent(void) { return checked(mmap(NULL, 5 * PAGE, ACCESS, ANONYMOUS, -1, 0)); }
NOINLINE static void of_child(char *inherited) {
  must(munmap(inherited, 2 * PAGE) == 0);
  checked(mmap(NULL, 7 * PAGE, ACCESS, ANONYMOUS, -1, 0));
}
NOINLINE static void of_executed(void) { checked(mmap(NULL, 3 * PAGE, ACCESS, ANONYMOUS, -1, 0)); }

static int forks(void) {
  char *inherited = of_parent();
  pid_t child = fork();
  if (child == 0) {
    of_child(inherited);
    execl("/proc/self/exe", "mappings", "executed", NULL);
    _exit(96);
  }
  int status;
  must(child > 0 && waitpid(child, &status, 0) == child && status == 0);
  return 0;
}

static uint64_t next(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  return *state ^= *state << 17;
}

static void *torture(void *seed) {
  uint64_t state = 88172645463325252ull + (uintptr_t)seed;
  char *arena = checked(mmap(NULL, ARENA * PAGE, PROT_NONE, ANONYMOUS, -1, 0));
  char *loose[8] = {0};
  size_t pages[8] = {0};
  for (int round = 0; round < ROUNDS; round++) {
    size_t first = next(&state) % (ARENA - 32), count = 1 + next(&state) % 32, slot = next(&state) % 8;
    char *at = arena + first * PAGE;
    int protection = next(&state) % 4 ? ACCESS : PROT_NONE;
    switch (next(&state) % 9) {
      case 0:
      case 1:
        checked(mmap(at, count * PAGE, protection, ANONYMOUS | MAP_FIXED, -1, 0));
        break;
      case 2:
        // Not of the arena: another thread would get what has become free there.
        if (loose[slot] == NULL || pages[slot] == 1) break;
        must(munmap(loose[slot] + --pages[slot] * PAGE, PAGE) == 0);
        break;
      case 3:
        must(mprotect(at, count * PAGE, protection) == 0);
        break;
      case 4:
        if (loose[slot] != NULL) must(munmap(loose[slot], pages[slot] * PAGE) == 0);
        pages[slot] = count;
        loose[slot] = checked(mmap(NULL, count * PAGE, protection, ANONYMOUS, -1, 0));
        break;
      case 5:
        if (loose[slot] == NULL) break;
        loose[slot] = checked(mremap(loose[slot], pages[slot] * PAGE, count * PAGE, MREMAP_MAYMOVE));
        pages[slot] = count;
        break;
      case 6:
        must(munmap(at + 7, PAGE) != 0);
        break;
      case 7:
        // In place, where there mostly is no room.
        if (loose[slot] == NULL) break;
        if (mremap(loose[slot], pages[slot] * PAGE, (pages[slot] + count) * PAGE, 0) != MAP_FAILED) pages[slot] += count;
        break;
      default:
        free(memset(malloc(count * 8192), 1, 1));
    }
  }
  return NULL;
}

static void all_torture(void) {
  pthread_t threads[THREADS];
  for (uintptr_t i = 0; i < THREADS; i++) must(pthread_create(&threads[i], NULL, torture, (void *)i) == 0);
  for (int i = 0; i < THREADS; i++) must(pthread_join(threads[i], NULL) == 0);
  // Afterwards, as malloc moves the end of the heap segment, too.
  for (int i = 0; i < 200; i++) {
    must(sbrk(3 * PAGE) != (void *)-1);
    must(sbrk(-PAGE) != (void *)-1);
  }
}

int main(int count, char **arguments) {
  if (count > 1 && !strcmp(arguments[1], "forks")) return forks();
  if (count > 1 && !strcmp(arguments[1], "executed")) {
    of_executed();
    return 0;
  }
  if (count > 1) {
    expected();
    all_torture();
    raise(SIGSTOP);
    return 0;
  }
  say("ready");
  for (;;) {
    switch (hear()) {
      case 'e':
        expected();
        break;
      case 't':
        all_torture();
        break;
      case 'b':
        small_blocks();
        break;
      default:
        return 0;
    }
    say("done");
  }
}
