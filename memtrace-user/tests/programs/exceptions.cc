// C++ exceptions thrown through frames that allocate, and out of operator new itself.
#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>
#include "talk.h"

static std::vector<std::string> deeper(int depth) {
  std::vector<std::string> held(10, std::string(100, 'x'));
  if (depth == 0) throw std::runtime_error("a message that is too long to be kept without a block of its own");
  auto more = deeper(depth - 1);
  held.insert(held.end(), more.begin(), more.end());
  return held;
}

int main() {
  say("ready");
  hear();
  int caught = 0;
  for (int i = 0; i < 500; i++) {
    try {
      deeper(10);
    } catch (const std::runtime_error &) {
      caught++;
    }
    try {
      // More than malloc gives: operator new throws.
      caught += ::operator new(PTRDIFF_MAX) == nullptr;
    } catch (const std::bad_alloc &) {
      caught++;
    }
  }
  say(caught == 1000 ? "done" : "failed");
  hear();
}
