// Calls chains of three functions in an order of their own and allocates at the end of each. For each block it prints
// a line: its size, and the functions from the allocating one outwards as it has recorded them itself.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

// What is called, outermost first.
static const char *calls[512];
static int depth;

#define ENTER calls[depth++] = __func__
#define LEAVE depth--

static void tell(size_t size) {
  char line[16384];
  int length = sprintf(line, "%zu", size);
  for (int i = depth - 1; i >= 0; i--) length += sprintf(line + length, " %s", calls[i]);
  line[length++] = '\n';
  if (write(1, line, length) != length) _exit(99);
}

static void leaf(size_t size) {
  ENTER;
  tell(size);
  if (!malloc(size)) _exit(98);
  LEAVE;
}

static void first(int more, size_t size), second(int more, size_t size), third(int more, size_t size);
static void (*const functions[])(int, size_t) = {first, second, third, second, first, third, third};

// One frame more for each of `more`, in an order that depends on where in the chain a call is.
#define CALL_NEXT                                                              \
  if (more == 0)                                                               \
    leaf(size);                                                                \
  else                                                                         \
    functions[more * more % 7](more - 1, size)

static void first(int more, size_t size) {
  ENTER;
  CALL_NEXT;
  LEAVE;
}

// A frame of another size.
static void second(int more, size_t size) {
  ENTER;
  volatile char room[1000];
  room[more] = 1;
  CALL_NEXT;
  LEAVE;
}

static void third(int more, size_t size) {
  ENTER;
  CALL_NEXT;
  LEAVE;
}

// Chains of 1 to 50 calls between this function and the allocating one.
static void chains(void) {
  ENTER;
  for (int more = 0; more < 50; more++) third(more, 1000 + more);
  LEAVE;
}

static void recurse(int more) {
  ENTER;
  if (more == 0)
    leaf(7000);
  else
    recurse(more - 1);
  LEAVE;
}

__attribute__((optimize("omit-frame-pointer"))) static void without_frame_pointer(size_t size) {
  if (!malloc(size)) _exit(98);
}

// Allocates right at the top of its stack, then further down.
static void *on_thread(void *unused) {
  depth = 0;
  ENTER;
  tell(4000);
  if (!malloc(4000)) _exit(98);
  first(3, 4001);
  LEAVE;
  return unused;
}

static void thread(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, on_thread, NULL)) _exit(97);
  pthread_join(thread, NULL);
}

static ucontext_t back, coroutine;

static void on_coroutine(void) {
  ENTER;
  tell(5000);
  if (!malloc(5000)) _exit(98);
  LEAVE;
}

// A stack whose top is the end of what is mapped.
static void switched(void) {
  size_t size = 65536;
  char *memory = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(memory + size, 4096, PROT_NONE);
  getcontext(&coroutine);
  coroutine.uc_stack.ss_sp = memory;
  coroutine.uc_stack.ss_size = size;
  coroutine.uc_link = &back;
  makecontext(&coroutine, on_coroutine, 0);
  depth = 0;
  swapcontext(&back, &coroutine);
}

int main(int count, char **words) {
  ENTER;
  if (count < 2) return 96;
  if (!strcmp(words[1], "chains")) chains();
  if (!strcmp(words[1], "recurse")) recurse(300);
  if (!strcmp(words[1], "thread")) thread();
  if (!strcmp(words[1], "switched")) switched();
  if (!strcmp(words[1], "without_frame_pointer")) without_frame_pointer(6000);
  LEAVE;
  return 0;
}
