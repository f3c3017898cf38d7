// LD_PRELOAD library: records the call stack of every malloc by libgcc's unwinder, as an oracle for memtrace's.
// ORACLE_OUT names the file that gets the table; it is shared memory, so nothing is lost however the process ends.
#define _GNU_SOURCE
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FRAMES 126
#define PLACES (1 << 16)
struct entry { unsigned long used, count, bytes, frames; unsigned long address[FRAMES]; };

extern void *__libc_malloc(size_t);
static struct entry *table;
static __thread int busy;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void record(void **stack, int frames, size_t size) {
  unsigned long hash = frames;
  for (int i = 0; i < frames; i++) hash = (hash ^ (unsigned long)stack[i]) * 0x9e3779b97f4a7c15ul, hash ^= hash >> 29;
  pthread_mutex_lock(&lock);
  for (unsigned long probe = 0; probe < PLACES; probe++) {
    struct entry *e = &table[(hash + probe) % PLACES];
    if (!e->used) {
      e->frames = frames;
      memcpy(e->address, stack, frames * sizeof *stack);
      e->used = 1;
    }
    if (e->frames == (unsigned long)frames && !memcmp(e->address, stack, frames * sizeof *stack)) {
      e->count++;
      e->bytes += size;
      break;
    }
  }
  pthread_mutex_unlock(&lock);
}

// memtrace sees the first frame in this function for exactly those calls that are recorded.
__attribute__((noinline)) void *oracle_recorded(size_t size) {
  void *block = __libc_malloc(size);
  busy = 1;
  void *stack[FRAMES + 2];
  int frames = backtrace(stack, FRAMES + 2);
  if (frames > 2) record(stack + 2, frames - 2, size);
  busy = 0;
  return block;
}

__attribute__((noinline)) void *oracle_passed(size_t size) {
  void *block = __libc_malloc(size);
  return block;
}

void *malloc(size_t size) {
  void *block = table && !busy ? oracle_recorded(size) : oracle_passed(size);
  return block;
}

__attribute__((constructor)) static void begin(void) {
  busy = 1;
  void *stack[4];
  backtrace(stack, 4);  // loads libgcc, which allocates
  int file = open(getenv("ORACLE_OUT"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  size_t length = PLACES * sizeof(struct entry);
  if (file >= 0 && !ftruncate(file, length)) {
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory != MAP_FAILED) table = memory;
  }
  close(file);
  unsetenv("LD_PRELOAD");
  busy = 0;
}

// The mappings, to turn addresses into places in files.
__attribute__((destructor)) static void end(void) {
  busy = 1;
  char name[4096];
  snprintf(name, sizeof name, "%s.maps", getenv("ORACLE_OUT"));
  int in = open("/proc/self/maps", O_RDONLY), out = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  char buffer[65536];
  for (ssize_t n; (n = read(in, buffer, sizeof buffer)) > 0;) if (write(out, buffer, n) != n) break;
  close(in);
  close(out);
  busy = 0;
}
