// GLM_CHECK aborts on a broken invariant of ours, in every build. Nothing that a user, a file or
// a peer controls may reach it: those failures are Results.
#pragma once

namespace glm {

[[noreturn]] void check_failed(const char* expression, const char* file, int line);

}  // namespace glm

#define GLM_CHECK(condition)                                           \
  do {                                                                 \
    if (!(condition)) ::glm::check_failed(#condition, __FILE__, __LINE__); \
  } while (false)
