#include "store/store.h"

#include <gtest/gtest.h>

#include <fstream>

#include "store/sha256.h"
#include "tests/fakes/temp_dir.h"

namespace glm::store {
namespace {

using std::chrono::seconds;

class StoreTest : public testing::Test {
 protected:
  std::unique_ptr<Store> open() {
    Result<std::unique_ptr<Store>> store = Store::open(dir_.path());
    EXPECT_TRUE(store.ok()) << (store.ok() ? "" : store.error().message);
    return *std::move(store);
  }

  static ManifestFile put(Store& store, const std::string& path, const std::string& text) {
    const Digest digest = sha256(text);
    if (!store.blobs().contains(digest)) {
      auto writer = *store.blobs().writer(digest, text.size());
      EXPECT_TRUE(writer->append(std::as_bytes(std::span(text))).ok());
      EXPECT_TRUE(writer->commit().ok());
    }
    return {path, digest, text.size()};
  }

  static Manifest model(const std::string& name, std::vector<ManifestFile> files) {
    Manifest manifest;
    manifest.name = name;
    manifest.source = "org/" + name;
    manifest.revision = "main";
    manifest.commit = "c0ffee";
    manifest.files = std::move(files);
    manifest.pulled_at = "2026-01-01T00:00:00Z";
    return manifest;
  }

  fakes::TempDir dir_;
};

TEST_F(StoreTest, FindsWhatWasPublishedAfterAReopen) {
  {
    auto store = open();
    Manifest manifest = model(
        "Tiny:latest", {put(*store, "config.json", "{}"), put(*store, "sub/weights.bin", "abc")});
    manifest.modelfile = "FROM x\n";
    manifest.facts_json = "{\"a\":1}";
    ASSERT_TRUE(store->publish(manifest).ok());
  }
  auto store = open();
  const Result<Manifest> found = store->find("tiny:LATEST");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->name, "Tiny:latest");
  EXPECT_EQ(found->modelfile, "FROM x\n");
  EXPECT_EQ(found->facts_json, "{\"a\":1}");
  ASSERT_EQ(found->files.size(), 2u);
  EXPECT_EQ(found->files[1].path, "sub/weights.bin");
  EXPECT_EQ(found->files[1].digest, sha256("abc"));
  EXPECT_EQ(found->size_bytes(), 5u);
}

TEST_F(StoreTest, DoesNotPublishAModelWithoutItsBlobs) {
  auto store = open();
  const Manifest manifest = model("m", {{"config.json", sha256("never written"), 13}});
  EXPECT_EQ(store->publish(manifest).error().message, "publish m: config.json is not in the store");
  EXPECT_EQ(store->find("m").error().code, Errc::not_found);
}

TEST_F(StoreTest, KeepsBlobsThatAnotherModelStillNeeds) {
  auto store = open();
  const ManifestFile shared = put(*store, "tokenizer.json", "shared");
  const ManifestFile own = put(*store, "weights", "own");
  ASSERT_TRUE(store->publish(model("a", {shared, own})).ok());
  ASSERT_TRUE(store->publish(model("b", {shared})).ok());
  ASSERT_TRUE(store->remove("a").ok());
  EXPECT_TRUE(store->blobs().contains(shared.digest));
  EXPECT_FALSE(store->blobs().contains(own.digest));
  EXPECT_EQ(store->remove("a").error().message, "model \"a\" not found");
  ASSERT_TRUE(store->remove("b").ok());
  EXPECT_TRUE(store->blobs().list()->empty());
}

TEST_F(StoreTest, DropsWhatAReplacedModelAloneNeeded) {
  auto store = open();
  const ManifestFile old_file = put(*store, "weights", "old");
  const ManifestFile new_file = put(*store, "weights", "new");
  ASSERT_TRUE(store->publish(model("a", {old_file})).ok());
  ASSERT_TRUE(store->publish(model("A", {new_file})).ok());
  EXPECT_FALSE(store->blobs().contains(old_file.digest));
  EXPECT_EQ(store->list()->size(), 1u);
}

TEST_F(StoreTest, CopiesNamesAndNotBytes) {
  auto store = open();
  const ManifestFile file = put(*store, "weights", "w");
  ASSERT_TRUE(store->publish(model("a", {file})).ok());
  ASSERT_TRUE(store->copy("a", "b").ok());
  ASSERT_TRUE(store->copy("a", "b").ok()) << "copying again changes nothing";
  EXPECT_EQ(store->find("a")->digest(), store->find("b")->digest());
  EXPECT_EQ(store->copy("nothing", "c").error().code, Errc::not_found);
  ASSERT_TRUE(store->publish(model("other", {put(*store, "weights", "x")})).ok());
  EXPECT_EQ(store->copy("a", "other").error().code, Errc::already_exists);
  ASSERT_TRUE(store->remove("a").ok());
  EXPECT_TRUE(store->blobs().contains(file.digest));
}

TEST_F(StoreTest, KeepsTheSpellingOfANameThatIsPublishedAnew) {
  auto store = open();
  ASSERT_TRUE(store->publish(model("Tiny:latest", {put(*store, "weights", "w")})).ok());
  ASSERT_TRUE(store->publish(model("tiny:LATEST", {put(*store, "weights", "v")})).ok());
  const std::vector<Manifest> all = *store->list();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].name, "Tiny:latest");
  EXPECT_EQ(all[0].files[0].digest, sha256("v"));
  EXPECT_EQ(store->find("TINY:latest")->name, "Tiny:latest");
}

TEST_F(StoreTest, CollectsOnlyGarbageThatIsOldEnough) {
  auto store = open();
  const ManifestFile kept = put(*store, "weights", "kept");
  const ManifestFile orphan = put(*store, "weights", "orphan");
  ASSERT_TRUE(store->publish(model("a", {kept})).ok());
  std::ofstream(dir_.path() / "partials" / sha256("x").hex()) << "half";
  EXPECT_EQ(store->gc(seconds(3600))->blobs, 0u);
  const GcReport report = *store->gc(seconds(0));
  EXPECT_EQ(report.blobs, 1u);
  EXPECT_EQ(report.partials, 1u);
  EXPECT_EQ(report.freed_bytes, 10u);
  EXPECT_TRUE(store->blobs().contains(kept.digest));
  EXPECT_FALSE(store->blobs().contains(orphan.digest));
}

TEST_F(StoreTest, GivesEqualContentAnEqualDigest) {
  auto store = open();
  const ManifestFile a = put(*store, "a", "1");
  const ManifestFile b = put(*store, "b", "2");
  Manifest first = model("m", {a, b});
  Manifest second = model("m", {b, a});
  second.name = "another name";
  EXPECT_EQ(first.digest(), second.digest());
  second.commit += "x";
  EXPECT_NE(first.digest(), second.digest());
}

TEST_F(StoreTest, RefusesAnIndexThatIsNoDatabase) {
  std::ofstream(dir_.path() / "index.db") << std::string(4096, 'x');
  const Result<std::unique_ptr<Store>> store = Store::open(dir_.path());
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().code, Errc::corrupt);
  const std::string path = (dir_.path() / "index.db").string();
  EXPECT_NE(store.error().message.find("move " + path + ", " + path + "-wal"), std::string::npos)
      << store.error().message;
}

TEST_F(StoreTest, KeepsBlobsOfAnIndexThatWasMovedAway) {
  const std::vector<std::string> texts = {"one", "two", ""};
  std::vector<ManifestFile> files;
  {
    auto store = open();
    for (const std::string& text : texts) files.push_back(put(*store, "f" + text, text));
    ASSERT_TRUE(store->publish(model("a", files)).ok());
  }
  using std::filesystem::last_write_time;
  const auto now = std::filesystem::file_time_type::clock::now();
  const auto age_of = [&](const ManifestFile& file) {
    return now - last_write_time(*BlobStore::open(dir_.path())->path(file.digest));
  };
  const auto year = std::chrono::hours(24 * 365);
  for (const ManifestFile& file : files) {
    last_write_time(*BlobStore::open(dir_.path())->path(file.digest), now - year);
  }
  EXPECT_EQ(open()->list()->size(), 1U);
  for (const ManifestFile& file : files) EXPECT_GE(age_of(file), year - std::chrono::hours(1));
  for (const char* end : {"", "-wal", "-shm"}) {
    std::filesystem::remove(dir_.path() / (std::string("index.db") + end));
  }
  auto store = open();
  EXPECT_EQ(store->list()->size(), 0U);
  for (const ManifestFile& file : files) EXPECT_LT(age_of(file), std::chrono::hours(1));
  ASSERT_TRUE(store->publish(model("a", files)).ok());
  store.reset();
  for (const ManifestFile& file : files) {
    last_write_time(*BlobStore::open(dir_.path())->path(file.digest), now - year);
  }
  std::filesystem::resize_file(dir_.path() / "index.db", 0);
  EXPECT_EQ(open()->list()->size(), 0U);
  for (const ManifestFile& file : files) EXPECT_LT(age_of(file), std::chrono::hours(1));
}

TEST_F(StoreTest, WarnsOfAnIndexThatWasEmptiedUntilAModelIsPublished) {
  EXPECT_EQ(open()->warning(), "");
  Manifest manifest;
  {
    auto store = open();
    manifest = model("a", {put(*store, "f", "text")});
    EXPECT_EQ(store->warning(), "");  // files of a pull that goes on
    ASSERT_TRUE(store->publish(manifest).ok());
  }
  EXPECT_EQ(open()->warning(), "");
  std::filesystem::resize_file(dir_.path() / "index.db", 0);
  const std::string warning =
      "the index of models, " + (dir_.path() / "index.db").string() +
      ", was moved away or emptied, and what was pulled has no names any more; pull your models "
      "again: what is still here is checked, not fetched";
  EXPECT_EQ(open()->warning(), warning);
  auto store = open();  // which now has an index again
  EXPECT_EQ(store->warning(), warning);
  ASSERT_TRUE(store->publish(manifest).ok());
  EXPECT_EQ(store->warning(), "");
}

}  // namespace
}  // namespace glm::store
