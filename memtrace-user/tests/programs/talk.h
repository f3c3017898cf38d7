// How a target and a test take turns: the target says a word on its standard output, the test answers on its input.
// System calls only, so that nothing is allocated on the way.
#include <string.h>
#include <unistd.h>

static void say(const char *line) {
  if (write(1, line, strlen(line)) < 0 || write(1, "\n", 1) < 0) _exit(99);
}

// Waits for a line and returns its first character; the test has gone when there is none.
static char hear(void) {
  char first = 0, next = 0;
  while (next != '\n') {
    if (read(0, &next, 1) != 1) _exit(98);
    if (!first) first = next;
  }
  return first;
}
