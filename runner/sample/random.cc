#include "runner/sample/random.h"

#include "runner/sample/sampling_options.h"

#include <random>

namespace glm::runner {
namespace {

constexpr std::uint64_t kMultiplier = 6364136223846793005ULL;
constexpr std::uint64_t kIncrement = 1442695040888963407ULL;

}  // namespace

Random::Random(std::uint64_t seed) {
  next();
  state_ += seed;
  next();
}

std::uint32_t Random::next() {
  const std::uint64_t old = state_;
  state_ = old * kMultiplier + kIncrement;
  const auto shifted = static_cast<std::uint32_t>(((old >> 18U) ^ old) >> 27U);
  const auto turn = static_cast<std::uint32_t>(old >> 59U);
  return (shifted >> turn) | (shifted << ((32U - turn) & 31U));
}

double Random::uniform() {
  const std::uint64_t high = next() >> 5U;  // 27 bits
  const std::uint64_t low = next() >> 6U;   // 26 bits
  return static_cast<double>(high << 26U | low) * 0x1p-53;
}

std::uint64_t fresh_seed() {
  std::random_device device;
  return static_cast<std::uint64_t>(device()) << 32U | device();
}

}  // namespace glm::runner
