#include "store/digest.h"

namespace glm::store {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string to_hex(const std::uint8_t* bytes, std::size_t size_bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(2 * size_bytes);
  for (std::size_t i = 0; i < size_bytes; ++i) {
    out.push_back(kDigits[bytes[i] >> 4]);
    out.push_back(kDigits[bytes[i] & 15]);
  }
  return out;
}

Result<Digest> Digest::parse(std::string_view text) {
  constexpr std::string_view kPrefix = "sha256:";
  std::string_view hex = text;
  if (hex.starts_with(kPrefix)) hex.remove_prefix(kPrefix.size());
  const auto bad = [&] {
    return make_error(Errc::invalid_argument, "'{}' is no SHA-256 digest: 64 hex digits are wanted",
                      text.substr(0, 100));
  };
  if (hex.size() != 2 * kSizeBytes) return bad();
  Bytes bytes{};
  for (std::size_t i = 0; i < kSizeBytes; ++i) {
    const int high = hex_value(hex[2 * i]);
    const int low = hex_value(hex[2 * i + 1]);
    if (high < 0 || low < 0) return bad();
    bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return Digest(bytes);
}

std::string Digest::hex() const { return to_hex(bytes_.data(), bytes_.size()); }

std::string Digest::str() const { return "sha256:" + hex(); }

}  // namespace glm::store
