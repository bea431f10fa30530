// Hashing of bytes as they pass: SHA-256, which names blobs, and git's blob SHA-1, which the hub
// gives for small files. OpenSSL does the work (SHA-NI and ARMv8 instructions where there are any).
//
// Thread safety: one hasher belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/handle.h"
#include "store/digest.h"

namespace glm::store {

struct HashTraits {
  using Raw = void*;  // EVP_MD_CTX
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw context);
};

class Sha256 {
 public:
  Sha256();
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);
  Digest finish();  // once

 private:
  Handle<HashTraits> context_;
};

// sha1("blob <size>\0" + content): the size comes first, so it must be known.
class GitBlobSha1 {
 public:
  explicit GitBlobSha1(std::uint64_t size_bytes);
  void update(std::span<const std::byte> bytes);
  std::string finish();  // 40 hex digits; once

 private:
  Handle<HashTraits> context_;
};

Digest sha256(std::string_view text);

}  // namespace glm::store
