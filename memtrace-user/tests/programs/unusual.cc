// Everything that makes stacks unusual, in four threads at once, all allocating: exceptions, longjmp, contexts of
// ucontext.h, stacks switched by hand, a signal handler on a stack of its own, cancelled threads.
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <stdexcept>

enum { ROUNDS = 200, STACK = 256 << 10 };

__attribute__((noinline)) static void allocate(size_t size) {
  void *volatile block = malloc(size);
  memset(block, 1, size);
  free(block);
}

// Frames of different sizes and saved registers.
__attribute__((noinline)) static int deep(int depth, size_t size) {
  char volatile room[64];
  room[depth & 63] = depth;
  if (depth == 0) {
    allocate(size);
    return room[0];
  }
  if (depth % 3 == 0) {
    char *variable = (char *)alloca(depth * 16);
    variable[0] = depth;
    int below = deep(depth - 1, size);
    return below + variable[0];
  }
  return deep(depth - 1, size) + room[depth & 63];
}

__attribute__((noinline)) static void throwing(int depth) {
  deep(2, 100);
  if (depth == 0) throw std::runtime_error("thrown through frames that allocate");
  throwing(depth - 1);
}

static void exceptions() {
  try {
    throwing(8);
  } catch (const std::exception &) {
    deep(3, 101);
  }
}

static __thread jmp_buf back;

__attribute__((noinline)) static void leaving(int depth) {
  deep(2, 102);
  if (depth == 0) longjmp(back, 1);
  leaving(depth - 1);
}

static void jumps() {
  if (!setjmp(back)) leaving(10);
  deep(3, 103);
}

static __thread ucontext_t home, away;

static void in_context() {
  for (;;) {
    deep(6, 104);
    swapcontext(&away, &home);
  }
}

static void contexts(char *stack) {
  getcontext(&away);
  away.uc_stack.ss_sp = stack;
  away.uc_stack.ss_size = STACK;
  away.uc_link = &home;
  makecontext(&away, in_context, 0);
  for (int i = 0; i < 3; i++) swapcontext(&home, &away);
}

static void on_signal(int) { deep(5, 105); }

static void signals() { raise(SIGUSR1); }

// A stack switched as fibre libraries do: callee-saved registers and the stack pointer, nothing else.
#ifdef __x86_64__
extern "C" void switch_stack(void **from, void *to);
asm(".globl switch_stack\n.type switch_stack,@function\nswitch_stack:\n.cfi_startproc\n"
    "push %rbp\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset rbp,0\n"
    "push %rbx\n.cfi_adjust_cfa_offset 8\npush %r12\n.cfi_adjust_cfa_offset 8\npush %r13\n.cfi_adjust_cfa_offset 8\n"
    "push %r14\n.cfi_adjust_cfa_offset 8\npush %r15\n.cfi_adjust_cfa_offset 8\n"
    "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
    "pop %r15\n.cfi_adjust_cfa_offset -8\npop %r14\n.cfi_adjust_cfa_offset -8\npop %r13\n.cfi_adjust_cfa_offset -8\n"
    "pop %r12\n.cfi_adjust_cfa_offset -8\npop %rbx\n.cfi_adjust_cfa_offset -8\n"
    "pop %rbp\n.cfi_adjust_cfa_offset -8\n.cfi_restore rbp\nret\n.cfi_endproc\n.size switch_stack,.-switch_stack\n");
static __thread void *fibre, *thread_stack;

static void in_fibre() {
  for (;;) {
    deep(7, 106);
    switch_stack(&fibre, thread_stack);
  }
}

static void fibres(char *stack) {
  // From the top: the return address 0 that ends the stack, the first function, six registers.
  void **top = (void **)(stack + STACK) - 10;
  memset(top, 0, 10 * sizeof *top);
  top[6] = (void *)in_fibre;
  fibre = top;
  for (int i = 0; i < 3; i++) switch_stack(&thread_stack, fibre);
}
#else
static void fibres(char *) {}
#endif

static void *cancelled(void *) {
  for (;;) {
    deep(4, 107);
    pthread_testcancel();
  }
  return nullptr;
}

static void cancellation() {
  pthread_t thread;
  pthread_create(&thread, nullptr, cancelled, nullptr);
  pthread_cancel(thread);
  pthread_join(thread, nullptr);
}

static void *work(void *) {
  char *stacks = (char *)mmap(nullptr, 3 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack_t own = {};
  own.ss_sp = stacks;
  own.ss_size = STACK;
  sigaltstack(&own, nullptr);
  for (int i = 0; i < ROUNDS; i++) {
    exceptions();
    jumps();
    contexts(stacks + STACK);
    signals();
    fibres(stacks + 2 * STACK);
    if (i % 20 == 0) cancellation();
  }
  own.ss_flags = SS_DISABLE;
  sigaltstack(&own, nullptr);
  munmap(stacks, 3 * STACK);
  return nullptr;
}

int main() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_ONSTACK;
  sigaction(SIGUSR1, &action, nullptr);
  pthread_t threads[4];
  for (pthread_t &thread : threads) pthread_create(&thread, nullptr, work, nullptr);
  for (pthread_t &thread : threads) pthread_join(thread, nullptr);
  return 0;
}
