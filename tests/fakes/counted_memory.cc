#include "tests/fakes/counted_memory.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::size_t> live{0};
std::atomic<std::size_t> peak{0};

void* counted(void* memory) {
  if (memory == nullptr) std::abort();
  const std::size_t now = live.fetch_add(::malloc_usable_size(memory)) + malloc_usable_size(memory);
  std::size_t before = peak.load();
  while (before < now && !peak.compare_exchange_weak(before, now)) {
  }
  return memory;
}

void forget(void* memory) {
  if (memory == nullptr) return;
  live.fetch_sub(::malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) {
  return counted(std::malloc(size));
}
void* operator new[](std::size_t size) {
  return counted(std::malloc(size));
}
// std::stable_sort asks for memory this way. All forms belong to one family, or a sanitizer sees
// memory of its own operator new given to free().
void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return counted(std::malloc(size));
}
void* operator new[](std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return counted(std::malloc(size));
}
void operator delete(void* memory) noexcept {
  forget(memory);
}
void operator delete[](void* memory) noexcept {
  forget(memory);
}
void operator delete(void* memory, std::size_t /*size*/) noexcept {
  forget(memory);
}
void operator delete[](void* memory, std::size_t /*size*/) noexcept {
  forget(memory);
}

namespace glm::fakes {

std::size_t live_bytes() {
  return live.load();
}
std::size_t peak_bytes() {
  return peak.load();
}
void restart_peak() {
  peak = live.load();
}

}  // namespace glm::fakes
