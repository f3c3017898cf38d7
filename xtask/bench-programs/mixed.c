// Allocates through six call sites, blocks of many sizes, of which each third is kept, and prints of each site its name,
// the bytes that it has allocated and those that live in the end. Sizes are the same in every run.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t state = 88172645463325252u;

// xorshift64 (Marsaglia).
static uint64_t chance(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static void *volatile kept;
static uint64_t allocated[6], live[6];

static void count(int site, void *made, uint64_t size, long number) {
  allocated[site] += size;
  kept = made;
  if (number % 3)
    free(made);
  else
    live[site] += size;
}

#define SITE(name, site, make) \
  static __attribute__((noinline)) void name(uint64_t size, long number) { count(site, make, size, number); }

SITE(tiny, 0, malloc(size))
SITE(small, 1, calloc(1, size))
SITE(middle, 2, malloc(size))
SITE(large, 3, malloc(size))
SITE(huge, 4, malloc(size))
SITE(grown, 5, (allocated[5]++, realloc(malloc(1), size)))

static const char *const names[] = {"tiny", "small", "middle", "large", "huge", "grown"};

int main(void) {
  for (long i = 0; i < 300000; i++) tiny(1 + chance() % 100, i);
  for (long i = 0; i < 100000; i++) small(100 + chance() % 900, i);
  for (long i = 0; i < 20000; i++) middle(1000 + chance() % 9000, i);
  for (long i = 0; i < 3000; i++) large(10000 + chance() % 90000, i);
  for (long i = 0; i < 100; i++) huge(1 << (20 + chance() % 3), i);
  for (long i = 0; i < 30000; i++) grown(64 << chance() % 7, i);
  for (int i = 0; i < 6; i++) printf("%s %llu %llu\n", names[i], (unsigned long long)allocated[i], (unsigned long long)live[i]);
  return 0;
}
