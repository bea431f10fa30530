// Blobs are written in every way a download can go: in pieces, interrupted, wrong, too long, by two
// at once, killed. Afterwards the store must hold exactly the right bytes or nothing.
#include "store/blob_store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <sstream>
#include <vector>

#include "store/sha256.h"
#include "tests/fakes/temp_dir.h"

namespace glm::store {
namespace {

namespace fs = std::filesystem;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string contents(const fs::path& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

std::size_t files_below(const fs::path& folder) {
  std::size_t count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) ++count;
  }
  return count;
}

class BlobStoreTest : public testing::Test {
 protected:
  BlobStoreTest() {
    std::printf("seed %u\n", seed_);
    text_.resize(200'000 + random_() % 1000);
    for (char& c : text_) c = static_cast<char>(random_());
  }

  BlobStore store() { return *BlobStore::open(dir_.path()); }

  const unsigned seed_ = std::random_device{}();
  std::mt19937 random_{seed_};
  fakes::TempDir dir_;
  std::string text_;
};

TEST_F(BlobStoreTest, KeepsWhatWasHashed) {
  const Digest digest = sha256(text_);
  auto writer = *store().writer(digest, text_.size());
  for (std::size_t at = 0; at < text_.size();) {
    const std::size_t piece = std::min<std::size_t>(1 + random_() % 50'000, text_.size() - at);
    ASSERT_TRUE(writer->append(bytes_of(text_).subspan(at, piece)).ok());
    at += piece;
  }
  EXPECT_FALSE(store().contains(digest)) << "visible before it was verified";
  ASSERT_TRUE(writer->commit().ok());
  const Result<fs::path> path = store().path(digest);
  ASSERT_TRUE(path.ok());
  EXPECT_EQ(contents(*path), text_);
  EXPECT_EQ(files_below(dir_.path() / "partials"), 0u);
  struct stat info {};
  ASSERT_EQ(::stat(path->c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0444u);
}

TEST_F(BlobStoreTest, KeepsNothingWhenTheDigestDiffers) {
  const Digest digest = sha256(text_ + "x");
  auto writer = *store().writer(digest, text_.size());
  ASSERT_TRUE(writer->append(bytes_of(text_)).ok());
  const Status done = writer->commit();
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, Errc::corrupt);
  EXPECT_EQ(done.error().message,
            "digest mismatch: got " + sha256(text_).str() + ", want " + digest.str());
  writer.reset();
  EXPECT_FALSE(store().contains(digest));
  EXPECT_EQ(files_below(dir_.path()), 0u);
}

TEST_F(BlobStoreTest, ResumesWhereAnotherWriterStopped) {
  const Digest digest = sha256(text_);
  std::size_t at = 0;
  while (at < text_.size()) {
    auto writer = *store().writer(digest, text_.size());
    ASSERT_EQ(writer->offset(), at);
    const std::size_t piece = std::min<std::size_t>(1 + random_() % 60'000, text_.size() - at);
    ASSERT_TRUE(writer->append(bytes_of(text_).subspan(at, piece)).ok());
    at += piece;
    EXPECT_EQ(store().partial_bytes(digest), at);
  }
  auto writer = *store().writer(digest, text_.size());
  ASSERT_TRUE(writer->commit().ok());
  EXPECT_EQ(contents(*store().path(digest)), text_);
}

TEST_F(BlobStoreTest, TellsWhatItReadsAgainAndStopsWhenTold) {
  const Digest digest = sha256(text_);
  const std::size_t half = text_.size() / 2;
  ASSERT_TRUE((*store().writer(digest, text_.size()))->append(bytes_of(text_).first(half)).ok());
  const auto given_up = store().writer(digest, text_.size(), [](std::uint64_t) { return false; });
  EXPECT_EQ(given_up.error().code, Errc::cancelled);
  EXPECT_EQ(store().partial_bytes(digest), half);
  std::vector<std::uint64_t> read;
  auto writer = *store().writer(digest, text_.size(), [&](std::uint64_t bytes) {
    read.push_back(bytes);
    return true;
  });
  ASSERT_FALSE(read.empty());
  EXPECT_TRUE(std::is_sorted(read.begin(), read.end()));
  EXPECT_EQ(read.back(), half);
  ASSERT_TRUE(writer->append(bytes_of(text_).subspan(half)).ok());
  EXPECT_TRUE(writer->commit().ok());
}

TEST_F(BlobStoreTest, FindsOutAboutADamagedPartial) {
  const Digest digest = sha256(text_);
  {
    auto writer = *store().writer(digest, text_.size());
    ASSERT_TRUE(writer->append(bytes_of(text_).first(1000)).ok());
  }
  const fs::path partial = dir_.path() / "partials" / digest.hex();
  const auto damaged = static_cast<char>(text_[10] ^ 1);
  std::fstream(partial, std::ios::in | std::ios::out | std::ios::binary).seekp(10).put(damaged);
  {
    auto writer = *store().writer(digest, text_.size());
    EXPECT_EQ(writer->offset(), 1000u);
    ASSERT_TRUE(writer->append(bytes_of(text_).subspan(1000)).ok());
    const Status committed = writer->commit();
    ASSERT_FALSE(committed.ok());
    EXPECT_EQ(committed.error().code, Errc::corrupt);
  }
  auto again = *store().writer(digest, text_.size());
  EXPECT_EQ(again->offset(), 0u);
}

TEST_F(BlobStoreTest, StartsOverWhenAPartialIsLongerThanTheBlob) {
  const Digest digest = sha256("short");
  {
    auto writer = *store().writer(digest, 100);
    ASSERT_TRUE(writer->append(bytes_of(text_).first(50)).ok());
  }
  auto writer = *store().writer(digest, 5);
  EXPECT_EQ(writer->offset(), 0u);
  ASSERT_TRUE(writer->append(bytes_of("short")).ok());
  EXPECT_TRUE(writer->commit().ok());
}

TEST_F(BlobStoreTest, RefusesMoreAndFewerBytesThanPromised) {
  const Digest digest = sha256("12345");
  auto writer = *store().writer(digest, 5);
  EXPECT_EQ(writer->append(bytes_of("123456")).error().code, Errc::corrupt);
  ASSERT_TRUE(writer->append(bytes_of("1234")).ok());
  EXPECT_EQ(writer->commit().error().code, Errc::corrupt);
  EXPECT_FALSE(store().contains(digest));
}

TEST_F(BlobStoreTest, GivesAPartialToOneWriterAtATime) {
  const Digest digest = sha256(text_);
  auto first = *store().writer(digest, text_.size());
  EXPECT_EQ(store().writer(digest, text_.size()).error().code, Errc::unavailable);
  first.reset();
  EXPECT_TRUE(store().writer(digest, text_.size()).ok());
}

TEST_F(BlobStoreTest, KeepsAnEmptyBlob) {
  auto writer = *store().writer(sha256(""), 0);
  ASSERT_TRUE(writer->commit().ok());
  EXPECT_EQ(contents(*store().path(sha256(""))), "");
}

TEST_F(BlobStoreTest, SaysBeforeTheFirstByteThatTheDiskIsTooSmall) {
  const Result<std::unique_ptr<BlobWriter>> writer = store().writer(sha256(text_), 1ull << 60);
  ASSERT_FALSE(writer.ok());
  EXPECT_EQ(writer.error().code, Errc::exhausted);
  EXPECT_NE(writer.error().message.find("are needed"), std::string::npos);
}

TEST_F(BlobStoreTest, DoesNotFollowALinkPlantedAtThePartial) {
  const Digest digest = sha256(text_);
  const fs::path victim = dir_.path() / "victim";
  std::ofstream(victim) << "precious";
  (void)store();
  fs::create_symlink(victim, dir_.path() / "partials" / digest.hex());
  EXPECT_FALSE(store().writer(digest, text_.size()).ok());
  EXPECT_EQ(contents(victim), "precious");
}

// A child with a file-size limit stands for a disk that fills up on the way.
TEST_F(BlobStoreTest, CanGoOnAfterTheDiskWasFull) {
  const Digest digest = sha256(text_);
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    auto writer = *store().writer(digest, text_.size());
    const rlimit limit{100'000, 100'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const Status full = writer->append(bytes_of(text_));
    ::_exit(!full.ok() && full.error().code == Errc::exhausted ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  auto writer = *store().writer(digest, text_.size());
  ASSERT_LE(writer->offset(), 100'000u);
  ASSERT_TRUE(writer->append(bytes_of(text_).subspan(writer->offset())).ok());
  EXPECT_TRUE(writer->commit().ok());
  EXPECT_EQ(contents(*store().path(digest)), text_);
}

TEST_F(BlobStoreTest, SurvivesBeingKilledAtAnyMoment) {
  const Digest digest = sha256(text_);
  for (int round = 0; round < 40; ++round) {
    const auto moment_us = static_cast<useconds_t>(random_() % 3000);
    const pid_t child = ::fork();
    if (child == 0) {
      auto writer = *store().writer(digest, text_.size());
      while (writer->offset() < text_.size()) {
        const std::size_t piece = std::min<std::size_t>(5000, text_.size() - writer->offset());
        (void)writer->append(bytes_of(text_).subspan(writer->offset(), piece));
      }
      (void)writer->commit();
      ::_exit(0);
    }
    ::usleep(moment_us);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    if (store().contains(digest)) {
      ASSERT_EQ(contents(*store().path(digest)), text_);
      ASSERT_TRUE(store().remove(digest).ok());
    }
  }
}

}  // namespace
}  // namespace glm::store
