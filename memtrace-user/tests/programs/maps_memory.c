// Maps and touches 64 MiB past every allocator when it hears a line; ends at the next.
#include <string.h>
#include <sys/mman.h>
#include "talk.h"

int main(void) {
  say("ready");
  hear();
  void *memory = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  memset(memory, 1, 64 << 20);
  say("done");
  hear();
  return 0;
}
