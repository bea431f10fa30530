// How much memory this machine could still give to a program.
#pragma once

#include <cstdint>

namespace glm::kernels::cpu {

// In bytes, what the system keeps for files it could read again included. 0 if it does not say.
std::uint64_t memory_available();

}  // namespace glm::kernels::cpu
