#include "tests/fakes/gzip_bytes.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace glm::fakes {
namespace {

constexpr std::size_t kStoredMax = 65535;

std::uint32_t crc32(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0xEDB88320U : 0U);
  }
  return ~crc;
}

void little_endian(std::string& out, std::uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>((value >> (8 * i)) & 0xFFU);
}

}  // namespace

std::string gzip_bytes(std::string_view bytes) {
  using namespace std::string_view_literals;
  std::string out("\x1f\x8b\x08\0\0\0\0\0\0\xff"sv);
  std::string_view rest = bytes;
  do {
    const std::size_t length = std::min(rest.size(), kStoredMax);
    out += length == rest.size() ? '\1' : '\0';  // the last block says so
    little_endian(out, static_cast<std::uint32_t>(length), 2);
    little_endian(out, ~static_cast<std::uint32_t>(length), 2);
    out += rest.substr(0, length);
    rest.remove_prefix(length);
  } while (!rest.empty());
  little_endian(out, crc32(bytes), 4);
  little_endian(out, static_cast<std::uint32_t>(bytes.size()), 4);
  return out;
}

}  // namespace glm::fakes
