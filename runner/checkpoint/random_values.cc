#include "runner/checkpoint/random_values.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numbers>
#include <random>

#include "base/check.h"

namespace glm::runner {
namespace {

using kernels::Dtype;
using Kind = RandomValues::Kind;

constexpr std::array<std::size_t, 3> kPrimes = {4'093, 65'521, 1'048'573};

// Of the standard library only what its standard lays down bit for bit.
class Draw {
 public:
  double unit() { return static_cast<double>(engine_() >> 11U) * 0x1p-53; }
  int whole(double first, double last) {
    return static_cast<int>(first + std::floor(unit() * (last - first + 1)));
  }
  double normal() {
    return std::sqrt(-2 * std::log(1 - unit())) * std::cos(2 * std::numbers::pi * unit());
  }

 private:
  std::mt19937_64 engine_{20'260'901};
};

void store(Dtype dtype, double value, std::byte* target) {
  const auto put = [target](auto bits) { std::memcpy(target, &bits, sizeof(bits)); };
  const auto single = static_cast<float>(value);
  switch (dtype) {
    case Dtype::f32:
      return put(single);
    case Dtype::bf16:
      return put(kernels::f32_to_bf16(single));
    case Dtype::f16:
      return put(kernels::f32_to_f16(single));
    case Dtype::f8_e4m3:
      return put(kernels::f32_to_f8_e4m3(single));
    case Dtype::i64:
      return put(static_cast<std::int64_t>(value));
    case Dtype::i32:
      return put(static_cast<std::uint32_t>(value));
    case Dtype::u8:
    case Dtype::f8_e8m0:
      return put(static_cast<std::uint8_t>(value));
    default:
      GLM_CHECK(false);
  }
}

double draw(const RandomValues& values, Draw& random, std::size_t index) {
  switch (values.kind) {
    case Kind::normal:
      return values.a + values.b * random.normal();
    case Kind::spread:
      return values.a * (0.5 + random.unit());
    case Kind::powers:
      return random.whole(values.a, values.b);
    case Kind::shape:
      return index == 0 ? values.a : values.b;
    case Kind::groups:
      return std::floor(static_cast<double>(index) / values.a);
    default:
      return values.a;
  }
}

std::size_t count_of(const RandomValues& values, std::size_t elements) {
  if (values.kind == Kind::constant) return 1;
  if (values.kind == Kind::shape) return 2;
  if (values.kind == Kind::groups) return elements;
  const auto* found = std::find_if(kPrimes.begin(), kPrimes.end(),
                                   [&](std::size_t prime) { return prime >= elements; });
  return found == kPrimes.end() ? kPrimes.back() : *found;
}

}  // namespace

std::vector<std::byte> random_block(const RandomValues& values, Dtype dtype, std::size_t elements) {
  const auto size = static_cast<std::size_t>(kernels::size_bytes(dtype));
  const std::size_t count = count_of(values, elements);
  std::vector<std::byte> block(count * size);
  Draw random;
  if (values.kind == Kind::bytes || values.kind == Kind::nibbles) {
    for (std::byte& byte : block) {
      int code = random.whole(0, 255);
      if (values.kind == Kind::nibbles) {
        code = random.whole(values.a, values.b) | random.whole(values.a, values.b) << 4;
      }
      byte = static_cast<std::byte>(code);
    }
    return block;
  }
  for (std::size_t i = 0; i < count; ++i) {
    store(dtype, draw(values, random, i), block.data() + i * size);
  }
  return block;
}

}  // namespace glm::runner
