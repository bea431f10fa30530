// Vectors: FIPS 180-4 ("abc", the empty string) and git's well-known blob ids.
#include "store/digest.h"

#include <gtest/gtest.h>

#include <string>

#include "store/sha256.h"

namespace glm::store {
namespace {

constexpr const char* kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kEmpty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string git_sha1(std::string_view text) {
  GitBlobSha1 hash(text.size());
  hash.update(std::as_bytes(std::span(text)));
  return hash.finish();
}

TEST(Digest, NamesContentAsEveryoneDoes) {
  EXPECT_EQ(sha256("abc").hex(), kAbc);
  EXPECT_EQ(sha256("").hex(), kEmpty);
  EXPECT_EQ(git_sha1("Hello, World!"), "b45ef6fec89518d314f546fd6c3025367b721684");
  EXPECT_EQ(git_sha1(""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
}

TEST(Digest, ReadsBothSpellings) {
  EXPECT_EQ(Digest::parse(kAbc)->str(), std::string("sha256:") + kAbc);
  EXPECT_EQ(*Digest::parse(std::string("sha256:") + kAbc), sha256("abc"));
  std::string upper = kAbc;
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  EXPECT_EQ(*Digest::parse(upper), sha256("abc"));
}

TEST(Digest, RefusesEverythingElse) {
  const std::string good = kAbc;
  for (const std::string& bad : std::initializer_list<std::string>
       {std::string(), good.substr(1), good + "0", "sha1:" + good, "sha256:", good.substr(0, 63) + "g",
        "sha256:" + good.substr(0, 63) + " ", std::string(64, '/'), std::string(64, '\0')}) {
    EXPECT_EQ(Digest::parse(bad).error().code, Errc::invalid_argument) << bad;
  }
}

}  // namespace
}  // namespace glm::store
