#include "store/verify.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <thread>

#include "store/sha256.h"
#include "tests/fakes/temp_dir.h"

namespace glm::store {
namespace {

namespace fs = std::filesystem;
using States = std::vector<BlobState>;

class VerifyTest : public testing::Test {
 protected:
  ManifestFile put(const std::string& text) {
    const Digest digest = sha256(text);
    auto writer = *blobs_.writer(digest, text.size());
    EXPECT_TRUE(writer->append(std::as_bytes(std::span(text))).ok());
    EXPECT_TRUE(writer->commit().ok());
    return {"file" + std::to_string(++files_), digest, text.size()};
  }

  void write_over(const ManifestFile& file, const std::string& text) {
    const fs::path path = *blobs_.path(file.digest);
    fs::permissions(path, fs::perms::owner_write, fs::perm_options::add);
    std::ofstream(path, std::ios::binary) << text;
  }

  fakes::TempDir dir_;
  BlobStore blobs_ = *BlobStore::open(dir_.path());
  int files_ = 0;
};

TEST_F(VerifyTest, TellsWholeFromDamagedFromMissing) {
  const std::vector<ManifestFile> files = {put("whole"), put("changed"), put("cut"), put("removed"),
                                           put("")};
  write_over(files[1], "CHANGED");
  write_over(files[2], "c");
  ASSERT_TRUE(blobs_.remove(files[3].digest).ok());
  const States want = {BlobState::whole, BlobState::damaged, BlobState::damaged, BlobState::missing,
                       BlobState::whole};
  States seen(files.size(), BlobState::missing);
  const VerifyEvents events{.read = {},
                            .done = [&](std::size_t i, BlobState state) { seen[i] = state; }};
  EXPECT_EQ(*verify(blobs_, files, events, {}), want);
  EXPECT_EQ(seen, want);
  EXPECT_TRUE(blobs_.contains(files[1].digest)) << "it is the next writer's to replace";
  EXPECT_EQ(*verify(blobs_, {}, events, {}), States{});
}

TEST_F(VerifyTest, ReadsManyFilesAtOnceAndSaysHowFarItIs) {
  std::vector<ManifestFile> files;
  for (int i = 0; i < 20; ++i) {
    files.push_back(put(std::string(3'000'000, static_cast<char>('a' + i))));
  }
  std::vector<std::uint64_t> last(files.size(), 0);
  std::vector<int> steps(files.size(), 0);
  const VerifyEvents events{.read =
                                [&](std::size_t i, std::uint64_t bytes) {
                                  EXPECT_GT(bytes, last[i]);
                                  last[i] = bytes;
                                  ++steps[i];
                                },
                            .done = {}};
  EXPECT_EQ(*verify(blobs_, files, events, {}), States(files.size(), BlobState::whole));
  for (std::size_t i = 0; i < files.size(); ++i) {
    EXPECT_EQ(last[i], files[i].size_bytes);
    EXPECT_GE(steps[i], 3);
  }
}

TEST_F(VerifyTest, StopsWhenTold) {
  const std::vector<ManifestFile> files = {put(std::string(3'000'000, 'x')), put("y")};
  std::stop_source stop;
  const VerifyEvents events{.read = [&](std::size_t, std::uint64_t) { stop.request_stop(); },
                            .done = {}};
  const auto states = verify(blobs_, files, events, stop.get_token());
  ASSERT_FALSE(states.ok());
  EXPECT_EQ(states.error().code, Errc::cancelled);
}

}  // namespace
}  // namespace glm::store
