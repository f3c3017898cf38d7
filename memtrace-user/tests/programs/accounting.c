// One scenario a function, chosen by the first argument. What each allocates is told in tests/privileged/accounting.rs.
// Scenarios that are attached to set up, print a line, and go on after one byte from stdin.
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Walloc-size-larger-than="

#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition)) {                                                        \
      dprintf(2, "accounting.c:%d: %s\n", __LINE__, #condition);               \
      _exit(99);                                                               \
    }                                                                          \
  } while (0)

static char **arguments;
static const size_t too_much = PTRDIFF_MAX;

static void wait_for_byte(void) {
  char byte;
  CHECK(read(0, &byte, 1) == 1);
}

// Tells that the set-up is done and waits to be traced.
static void wait_for_tracer(void) {
  CHECK(write(1, "ready\n", 6) == 6);
  wait_for_byte();
}

static void plain(void) {
  void *kept = malloc(1000);
  free(malloc(24));
  CHECK(kept);
}

static void zero_sizes(void) {
  CHECK(malloc(0) && calloc(0, 8) && calloc(8, 0) && realloc(NULL, 0));
  free(malloc(0));
  free(NULL);
}

static void products(void) {
  void *block = calloc(3, 7);
  CHECK(block && calloc(10, 100));
  free(block);
  CHECK(!calloc(SIZE_MAX / 2, 3));
}

static void failures(void) {
  void *block;
  CHECK(!malloc(too_much));
  CHECK(!malloc(SIZE_MAX));
  CHECK(!calloc(too_much, 1));
  CHECK(posix_memalign(&block, 3, 10) == EINVAL);
  CHECK(posix_memalign(&block, 64, too_much) == ENOMEM);
  CHECK(!aligned_alloc(64, too_much));
  CHECK(!valloc(too_much));
}

static void reallocations(void) {
  char *block = realloc(NULL, 100);
  CHECK(block);
  block = realloc(block, 5000);
  CHECK(block);
  block = realloc(block, 50);
  CHECK(block);
  block = realloc(block, 1 << 20);
  CHECK(block);
  // From mapped memory to mapped memory, by mremap.
  block = realloc(block, 2 << 20);
  CHECK(block);
  CHECK(!realloc(block, 0));
}

static void failing_realloc(void) {
  char *block = malloc(100);
  CHECK(block && !realloc(block, too_much));
  block[99] = 1;
  CHECK(!reallocarray(block, too_much, 1));
  block = realloc(block, 200);
  CHECK(block);
}

static void arrays(void) {
  char *block = reallocarray(NULL, 10, 12);
  CHECK(block);
  block = reallocarray(block, 100, 12);
  CHECK(block && !reallocarray(block, SIZE_MAX / 2, 3));
}

static void aligned(void) {
  void *block;
  CHECK(!posix_memalign(&block, 256, 1001));
  free(block);
  CHECK(aligned_alloc(64, 128) && memalign(4096, 33) && valloc(5) && pvalloc(7));
  CHECK(!posix_memalign(&block, 64, 0));
}

static void peaks(void) {
  char *block = malloc(1000);
  free(malloc(500));
  // 4000 at once, never 4000 and the 1000 before.
  block = realloc(block, 4000);
  block = realloc(block, 10);
  free(malloc(3989));
  CHECK(block);
}

static void library_callers(void) {
  char *line = NULL;
  size_t capacity = 0;
  FILE *file = fopen("/proc/self/status", "r");
  CHECK(file && getline(&line, &capacity, file) > 0);
  fclose(file);
  CHECK(strdup("nine byte") && strndup("nine byte", 4));
  free(line);
}

static void freed_from_before(void) {
  void *blocks[10];
  for (int i = 0; i < 10; i++) CHECK(blocks[i] = malloc(100));
  wait_for_tracer();
  for (int i = 0; i < 10; i++) free(blocks[i]);
  CHECK(malloc(77));
}

static void reallocated_from_before(void) {
  char *grown = malloc(100), *shrunk = malloc(5000), *failing = malloc(10), *emptied = malloc(10);
  CHECK(grown && shrunk && failing && emptied);
  wait_for_tracer();
  CHECK((grown = realloc(grown, 10000)) && (shrunk = realloc(shrunk, 60)));
  CHECK(!realloc(failing, too_much));
  CHECK(!realloc(emptied, 0));
  free(grown);
}

// Blocks of 10, 20, ... 100 bytes, all freed, and one that grows from below 50 bytes to above and back.
static void sizes(void) {
  for (int i = 1; i <= 10; i++) free(malloc(10 * i));
  void *block = malloc(49);
  block = realloc(block, 1000);
  block = realloc(block, 49);
  block = realloc(block, 50);
  CHECK(block);
}

static void exec_again(void) {
  if (arguments[2]) {
    free(malloc(300));
    CHECK(malloc(11));
    return;
  }
  for (int i = 0; i < 1000; i++) CHECK(malloc(1000));
  char *next[] = {arguments[0], arguments[1], "again", NULL};
  execv("/proc/self/exe", next);
  _exit(98);
}

static void *exec_here(void *unused) {
  exec_again();
  return unused;
}

// The thread that calls exec takes over the process.
static void exec_from_thread(void) {
  if (arguments[2]) {
    wait_for_byte();
    exec_again();
    return;
  }
  wait_for_tracer();
  pthread_t thread;
  CHECK(!pthread_create(&thread, NULL, exec_here, NULL));
  pthread_join(thread, NULL);
}

static pthread_barrier_t all_here;

static void *hold_then_free(void *unused) {
  void *blocks[1000];
  for (int i = 0; i < 1000; i++) CHECK(blocks[i] = malloc(100));
  pthread_barrier_wait(&all_here);
  for (int i = 0; i < 1000; i++) free(blocks[i]);
  return unused;
}

static void peak_of_threads(void) {
  pthread_t threads[8];
  pthread_barrier_init(&all_here, NULL, 8);
  for (int i = 0; i < 8; i++) CHECK(!pthread_create(&threads[i], NULL, hold_then_free, NULL));
  for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
}

static volatile int spinning;

static void *allocate_and_leave(void *unused) {
  CHECK(malloc(40));
  pthread_exit(unused);
}

// Allocates until it is cancelled.
static void *allocate_forever(void *unused) {
  for (;;) {
    free(malloc(16));
    spinning = 1;
    pthread_testcancel();
  }
  return unused;
}

static void *later_blocks(void *unused) {
  for (int i = 0; i < 100; i++) CHECK(malloc(64));
  return unused;
}

static void leaving_threads(void) {
  pthread_t thread;
  CHECK(!pthread_create(&thread, NULL, allocate_and_leave, NULL));
  pthread_join(thread, NULL);
  CHECK(!pthread_create(&thread, NULL, allocate_forever, NULL));
  while (!spinning) usleep(100);
  pthread_cancel(thread);
  pthread_join(thread, NULL);
  CHECK(!pthread_create(&thread, NULL, later_blocks, NULL));
  pthread_join(thread, NULL);
}

static sigjmp_buf before_loop;
static volatile sig_atomic_t jumps;

static void leave_loop(int signal) {
  (void)signal;
  jumps++;
  siglongjmp(before_loop, 1);
}

// A timer interrupts calls that cannot deadlock when they are left: each fails before it takes a lock.
static void interrupted(void) {
  struct sigaction action = {.sa_handler = leave_loop};
  struct itimerval often = {{0, 700}, {0, 700}}, never = {{0, 0}, {0, 0}};
  sigaction(SIGALRM, &action, NULL);
  // The allocator sets itself up in its first call, which must not be left halfway.
  CHECK(!malloc(SIZE_MAX));
  if (!sigsetjmp(before_loop, 1)) setitimer(ITIMER_REAL, &often, NULL);
  if (jumps < 200)
    for (;;) CHECK(!malloc(SIZE_MAX));
  setitimer(ITIMER_REAL, &never, NULL);
  later_blocks(NULL);
}

// The handler runs on another stack and allocates itself.
static void allocate_in_handler(int signal) {
  (void)signal;
  jumps++;
  CHECK(!malloc(SIZE_MAX));
}

static void interrupted_on_other_stack(void) {
  static char other_stack[65536];
  stack_t stack = {.ss_sp = other_stack, .ss_size = sizeof other_stack};
  struct sigaction action = {.sa_handler = allocate_in_handler, .sa_flags = SA_ONSTACK};
  struct itimerval often = {{0, 700}, {0, 700}}, never = {{0, 0}, {0, 0}};
  sigaltstack(&stack, NULL);
  sigaction(SIGALRM, &action, NULL);
  CHECK(!malloc(SIZE_MAX));
  setitimer(ITIMER_REAL, &often, NULL);
  while (jumps < 200) CHECK(!malloc(SIZE_MAX));
  setitimer(ITIMER_REAL, &never, NULL);
  later_blocks(NULL);
}

// The child of vfork frees a block of its parent, which tracing does not see; the allocator hands it out again.
static void freed_in_vfork(void) {
  static void *volatile block;
  block = malloc(100);
  pid_t child = vfork();
  if (child == 0) {
    free(block);
    _exit(0);
  }
  CHECK(waitpid(child, NULL, 0) == child);
  CHECK(malloc(90) == block);
}

// What a child of fork does is no part of its parent.
static void forked(void) {
  void *block = malloc(100);
  pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < 100; i++) CHECK(malloc(1000));
    free(block);
    _exit(0);
  }
  CHECK(waitpid(child, NULL, 0) == child);
  free(block);
}

static long coarse_ticks(void) {
  struct timespec now, length;
  CHECK(!clock_gettime(CLOCK_MONOTONIC_COARSE, &now) && !clock_getres(CLOCK_MONOTONIC_COARSE, &length));
  return (now.tv_sec * 1000000000 + now.tv_nsec) / length.tv_nsec;
}

static long short_ticks(void) {
  struct timespec length;
  CHECK(!clock_getres(CLOCK_MONOTONIC_COARSE, &length));
  return 10000000 / length.tv_nsec;
}

static struct { long blocks, surely_short, surely_long; } lives;

// One block that lives for so many ticks and more, if the machine is busy.
static void live_for(long ticks) {
  long before = coarse_ticks();
  void *block = malloc(10);
  long begin = coarse_ticks(), end;
  do end = coarse_ticks(); while (end - begin < ticks);
  free(block);
  long after = coarse_ticks();
  lives.blocks++;
  lives.surely_short += after - before <= short_ticks();
  lives.surely_long += end - begin > short_ticks();
}

// Blocks whose lifetimes are known, and one that realloc ends. What is sure of them goes to the file of the argument.
static void lifetimes(void) {
  for (int i = 0; i < 100; i++) live_for(0);
  for (int i = 0; i < 8; i++)
    for (long ticks = 0; ticks < 8; ticks++) live_for(ticks);
  FILE *out = fopen(arguments[2], "w");
  CHECK(out && fprintf(out, "%ld %ld %ld\n", lives.blocks, lives.surely_short, lives.surely_long) > 0 && !fclose(out));
}

static const struct {
  const char *name;
  void (*run)(void);
} scenarios[] = {
    {"plain", plain},
    {"zero_sizes", zero_sizes},
    {"products", products},
    {"failures", failures},
    {"reallocations", reallocations},
    {"failing_realloc", failing_realloc},
    {"arrays", arrays},
    {"aligned", aligned},
    {"peaks", peaks},
    {"library_callers", library_callers},
    {"freed_from_before", freed_from_before},
    {"reallocated_from_before", reallocated_from_before},
    {"sizes", sizes},
    {"exec_again", exec_again},
    {"exec_from_thread", exec_from_thread},
    {"peak_of_threads", peak_of_threads},
    {"leaving_threads", leaving_threads},
    {"interrupted", interrupted},
    {"interrupted_on_other_stack", interrupted_on_other_stack},
    {"freed_in_vfork", freed_in_vfork},
    {"forked", forked},
    {"lifetimes", lifetimes},
};

int main(int count, char **words) {
  arguments = words;
  for (size_t i = 0; count > 1 && i < sizeof scenarios / sizeof *scenarios; i++)
    if (!strcmp(scenarios[i].name, words[1])) {
      scenarios[i].run();
      return 0;
    }
  dprintf(2, "no such scenario\n");
  return 97;
}
