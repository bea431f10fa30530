#include "store/sha256.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

#include "base/check.h"

namespace glm::store {
namespace {

EVP_MD_CTX* raw(const Handle<HashTraits>& context) {
  return static_cast<EVP_MD_CTX*>(context.get());
}

Handle<HashTraits> start(const EVP_MD* kind) {
  Handle<HashTraits> context(EVP_MD_CTX_new());
  GLM_CHECK(context);
  GLM_CHECK(EVP_DigestInit_ex(raw(context), kind, nullptr) == 1);
  return context;
}

void feed(const Handle<HashTraits>& context, const void* bytes, std::size_t size_bytes) {
  GLM_CHECK(EVP_DigestUpdate(raw(context), bytes, size_bytes) == 1);
}

template <std::size_t Size>
std::array<std::uint8_t, Size> end(const Handle<HashTraits>& context) {
  std::array<std::uint8_t, Size> out{};
  unsigned int size_bytes = 0;
  GLM_CHECK(EVP_DigestFinal_ex(raw(context), out.data(), &size_bytes) == 1);
  GLM_CHECK(size_bytes == Size);
  return out;
}

}  // namespace

void HashTraits::close(Raw context) { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context)); }

Sha256::Sha256() : context_(start(EVP_sha256())) {}
void Sha256::update(std::span<const std::byte> bytes) {
  feed(context_, bytes.data(), bytes.size());
}
void Sha256::update(std::string_view text) { feed(context_, text.data(), text.size()); }
Digest Sha256::finish() { return Digest(end<32>(context_)); }

GitBlobSha1::GitBlobSha1(std::uint64_t size_bytes) : context_(start(EVP_sha1())) {
  const std::string header = fmt::format("blob {}", size_bytes);
  feed(context_, header.c_str(), header.size() + 1);  // with its NUL
}
void GitBlobSha1::update(std::span<const std::byte> bytes) {
  feed(context_, bytes.data(), bytes.size());
}
std::string GitBlobSha1::finish() {
  const auto bytes = end<20>(context_);
  return to_hex(bytes.data(), bytes.size());
}

Digest sha256(std::string_view text) {
  Sha256 hash;
  hash.update(text);
  return hash.finish();
}

}  // namespace glm::store
