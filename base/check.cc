#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace glm {

void check_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "glm: internal check failed: %s (%s:%d)\n", expression, file, line);
  std::abort();
}

}  // namespace glm
