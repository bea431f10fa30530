// A SHA-256 as a type: past parse() it cannot be malformed.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace glm::store {

class Digest {
 public:
  static constexpr std::size_t kSizeBytes = 32;
  using Bytes = std::array<std::uint8_t, kSizeBytes>;

  explicit Digest(const Bytes& bytes) : bytes_(bytes) {}

  // "sha256:<64 hex>" or "<64 hex>", either case. Errc::invalid_argument otherwise.
  static Result<Digest> parse(std::string_view text);

  std::string hex() const;  // 64 lower-case digits
  std::string str() const;  // "sha256:" and those

  auto operator<=>(const Digest&) const = default;

 private:
  Bytes bytes_;
};

// Lower-case hex of any bytes.
std::string to_hex(const std::uint8_t* bytes, std::size_t size_bytes);

}  // namespace glm::store
