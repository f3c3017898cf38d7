// Allows itself by seccomp nothing but to read, write and end, then allocates what tests/privileged/gates.rs expects: 100
// blocks of 100 bytes, 50 of them freed. Any other system call kills it.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "talk.h"

#define ALLOW(number)                                                                                                  \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

int main(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      ALLOW(SYS_read),
      ALLOW(SYS_write),
      ALLOW(SYS_exit_group),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  // The heap is there before: growing it takes other calls.
  void *blocks[100];
  free(malloc(100000));
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 1;
  if (write(1, "ready\n", 6) != 6 || read(0, blocks, 1) != 1) return 2;
  for (int i = 0; i < 100; i++) blocks[i] = malloc(100);
  for (int i = 0; i < 100; i += 2) free(blocks[i]);
  return 0;
}
