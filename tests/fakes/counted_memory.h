// Counts what operator new gives out, so that a test can hold a bound on memory instead of hoping.
// Link counted_memory.cc into the test's program; it replaces the global operators there.
#pragma once

#include <cstddef>

namespace glm::fakes {

std::size_t live_bytes();
std::size_t peak_bytes();  // the most that was live at once since restart_peak()
void restart_peak();

}  // namespace glm::fakes
