// A small random generator that gives the same numbers everywhere (PCG XSH-RR 64/32, O'Neill 2014).
// The standard library's distributions differ between implementations.
#pragma once

#include <cstdint>

namespace glm::runner {

class Random {
 public:
  explicit Random(std::uint64_t seed);

  std::uint32_t next();
  double uniform();  // in [0, 1), 53 random bits

 private:
  std::uint64_t state_ = 0;
};

}  // namespace glm::runner
