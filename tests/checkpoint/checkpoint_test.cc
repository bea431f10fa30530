// Which files count, and what the index may say.
#include "runner/checkpoint/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/checkpoint/safetensors_index.h"
#include "runner/checkpoint/weight_files.h"
#include "tests/fakes/shard_header.h"
#include "tests/fakes/tiny_random_model.h"

namespace glm::runner {
namespace {

using fakes::f32_tensor;
using fakes::TemporaryFolder;
using testing::ElementsAre;

class CheckpointFolder : public testing::Test {
 protected:
  void shard(const std::string& name, const std::map<std::string, float>& values) {
    fakes::FakeTensors tensors;
    for (const auto& [tensor, value] : values) tensors[tensor] = f32_tensor({1}, {value});
    fakes::write_safetensors(folder_.path() / name, tensors);
  }
  void index(const std::string& weight_map) {
    fakes::write_file(folder_.path() / "model.safetensors.index.json",
                      R"({"metadata":{"total_size":1.5},"weight_map":)" + weight_map + "}");
  }
  Result<Checkpoint> open() {
    return Checkpoint::open(std::move(files_in(folder_.path())).value());
  }
  float value(const Checkpoint& checkpoint, const std::string& name) {
    float number = 0;
    const TensorInfo* tensor = checkpoint.find(name);
    EXPECT_NE(tensor, nullptr) << name;
    if (tensor == nullptr) return 0;
    EXPECT_TRUE(checkpoint.read(*tensor, 0, std::as_writable_bytes(std::span(&number, 1))).ok());
    return number;
  }
  TemporaryFolder folder_;
};

TEST_F(CheckpointFolder, ReadsOneFile) {
  shard("model.safetensors", {{"a", 1}, {"b", 2}});
  shard("consolidated.safetensors", {{"a", 9}});
  shard("adapter.safetensors", {{"a", 8}});
  const auto checkpoint = open();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  EXPECT_EQ(value(*checkpoint, "a"), 1);
  EXPECT_EQ(value(*checkpoint, "b"), 2);
  EXPECT_EQ(checkpoint->find("c"), nullptr);
  EXPECT_EQ(checkpoint->size_bytes(), 8U);
}

TEST_F(CheckpointFolder, LetsTheIndexDecide) {
  shard("one.safetensors", {{"a", 1}, {"b", 2}});
  shard("two.safetensors", {{"a", 3}, {"c", 4}});
  shard("model.safetensors", {{"a", 5}});
  shard("mtp.safetensors", {{"d", 6}});
  index(R"({"a":"two.safetensors","b":"one.safetensors"})");
  const auto checkpoint = open();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  EXPECT_EQ(value(*checkpoint, "a"), 3);
  EXPECT_EQ(value(*checkpoint, "b"), 2);
  EXPECT_EQ(value(*checkpoint, "c"), 4);
  EXPECT_EQ(value(*checkpoint, "d"), 6);
  EXPECT_THAT(checkpoint->notes(),
              ElementsAre("1 of the tensors in one.safetensors are in another file as well",
                          "2 tensors are in no index"));
}

TEST_F(CheckpointFolder, IsTheSameFromHeadersAlone) {
  shard("one.safetensors", {{"a", 1}, {"b", 2}});
  shard("two.safetensors", {{"a", 3}, {"c", 4}});
  shard("model.safetensors", {{"a", 5}});
  shard("mtp.safetensors", {{"d", 6}});
  index(R"({"a":"two.safetensors","b":"one.safetensors"})");
  const auto here = open();
  ASSERT_TRUE(here.ok()) << here.error().message;

  const auto files = files_in(folder_.path());
  std::vector<std::string> listing;
  for (const auto& [name, path] : *files) listing.push_back(name);
  const auto parsed = read_index(*files);
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  std::vector<ShardHeader> shards;
  for (const std::string& name : std::move(weight_file_names(listing, *parsed)).value()) {
    shards.push_back(fakes::shard_header(folder_.path() / name));
  }
  ASSERT_EQ(shards.size(), 3U);
  const auto remote = Checkpoint::from_headers(*parsed, shards);
  ASSERT_TRUE(remote.ok()) << remote.error().message;
  EXPECT_TRUE(here->has_data());
  EXPECT_FALSE(remote->has_data());
  EXPECT_EQ(remote->notes(), here->notes());
  EXPECT_EQ(remote->size_bytes(), here->size_bytes());
  ASSERT_EQ(remote->tensors().size(), here->tensors().size());
  for (std::size_t i = 0; i < here->tensors().size(); ++i) {
    EXPECT_EQ(remote->tensors()[i]->name, here->tensors()[i]->name);
    EXPECT_EQ(describe(*remote->tensors()[i]), describe(*here->tensors()[i]));
    EXPECT_EQ(remote->tensors()[i]->offset, here->tensors()[i]->offset);
  }
  const auto read = remote->read_all(*remote->find("a"));
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code, Errc::unsupported);
  EXPECT_EQ(read.error().message,
            "tensor 'a': two.safetensors: only the header was fetched, not the data; pull the "
            "model");

  shards.pop_back();
  EXPECT_EQ(Checkpoint::from_headers(*parsed, shards).error().message,
            "model.safetensors.index.json names two.safetensors, which is not there; pull the "
            "model again");
  shards.front().file_bytes += 1;
  EXPECT_EQ(Checkpoint::from_headers({}, shards).error().message,
            "mtp.safetensors: 1 bytes follow the last tensor");
}

TEST_F(CheckpointFolder, NamesTheShardThatIsMissing) {
  shard("one.safetensors", {{"a", 1}});
  index(R"({"a":"one.safetensors","b":"two.safetensors"})");
  const auto checkpoint = open();
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_EQ(checkpoint.error().code, Errc::not_found);
  EXPECT_EQ(checkpoint.error().message,
            "model.safetensors.index.json names two.safetensors, which is not there; pull the "
            "model again");
}

TEST_F(CheckpointFolder, NamesTheTensorTheIndexMadeUp) {
  shard("one.safetensors", {{"a", 1}});
  index(R"({"a":"one.safetensors","b":"one.safetensors"})");
  EXPECT_EQ(open().error().message,
            "model.safetensors.index.json says tensor 'b' is in one.safetensors, but it is not");
}

TEST_F(CheckpointFolder, HoldsWhateverTheOnlyShardIsCalled) {
  shard("GLM weights v2.safetensors", {{"a", 1}});
  shard("mtp.safetensors", {{"d", 6}});
  shard("consolidated-00001.safetensors", {{"a", 9}});
  const auto checkpoint = open();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  EXPECT_EQ(value(*checkpoint, "a"), 1);
  EXPECT_EQ(value(*checkpoint, "d"), 6);
  EXPECT_THAT(checkpoint->notes(), ElementsAre());
}

TEST_F(CheckpointFolder, NoticesAMissingPartWithoutAnIndex) {
  shard("model-00001-of-00003.safetensors", {{"a", 1}});
  shard("model-00003-of-00003.safetensors", {{"b", 1}});
  EXPECT_EQ(open().error().code, Errc::not_found);
  EXPECT_EQ(open().error().message,
            "model-00001-of-00003.safetensors is there, but model-00002-of-00003.safetensors is "
            "not; pull the model again");
  shard("model-00002-of-00003.safetensors", {{"c", 1}});
  EXPECT_TRUE(open().ok());
}

TEST_F(CheckpointFolder, TakesTheFirstOfTwoWithoutAnIndexAndSaysSo) {
  shard("a.safetensors", {{"x", 1}, {"y", 2}});
  shard("b.safetensors", {{"x", 3}});
  const auto checkpoint = open();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  EXPECT_EQ(value(*checkpoint, "x"), 1);
  EXPECT_THAT(checkpoint->notes(),
              ElementsAre("1 of the tensors in b.safetensors are in another file as well"));
}

TEST_F(CheckpointFolder, NamesATensorThatIsInAnotherShardThanTheIndexSays) {
  shard("one.safetensors", {{"a", 1}, {"b", 2}});
  shard("two.safetensors", {{"c", 3}});
  index(R"({"a":"one.safetensors","b":"two.safetensors","c":"two.safetensors"})");
  EXPECT_EQ(open().error().code, Errc::corrupt);
  EXPECT_EQ(open().error().message,
            "model.safetensors.index.json says tensor 'b' is in two.safetensors, but it is not");
}

TEST_F(CheckpointFolder, IsNotFooledByAShardThatPointsToItself) {
  std::filesystem::create_symlink("one.safetensors", folder_.path() / "one.safetensors");
  index(R"({"a":"one.safetensors"})");
  EXPECT_EQ(open().error().message,
            "model.safetensors.index.json names one.safetensors, which is not there; pull the "
            "model again");
  std::filesystem::create_directory(folder_.path() / "two.safetensors");
  EXPECT_EQ(SafetensorsFile::open(folder_.path() / "two.safetensors", "two").error().message,
            "two: not a regular file");
}

TEST_F(CheckpointFolder, SaysWhatItFoundInstead) {
  fakes::write_file(folder_.path() / "config.json", "{}");
  EXPECT_EQ(open().error().message, "no .safetensors file among the 1 files of the checkpoint");
  fakes::write_file(folder_.path() / "model.gguf", "GGUF");
  EXPECT_EQ(open().error().message,
            "no .safetensors file, only model.gguf: GGUF is not supported yet; use the "
            "repository's safetensors form");
  EXPECT_EQ(open().error().code, Errc::unsupported);
}

TEST(CheckpointFiles, ComeFromAFolder) {
  TemporaryFolder folder;
  EXPECT_EQ(files_in(folder.path() / "none").error().code, Errc::not_found);
  EXPECT_EQ(files_in(folder.path()).error().code, Errc::not_found);
  std::filesystem::create_directories(folder.path() / "sub" / ".git");
  fakes::write_file(folder.path() / "a", "1");
  fakes::write_file(folder.path() / "sub" / "b", "2");
  fakes::write_file(folder.path() / "sub" / ".git" / "c", "3");
  std::filesystem::create_directories(folder.path() / "sub" / "deeper");
  fakes::write_file(folder.path() / "sub" / "deeper" / "d", "4");
  fakes::write_file(folder.path() / ".hidden", "5");
  const auto files = files_in(folder.path());
  ASSERT_TRUE(files.ok());
  EXPECT_EQ(files->size(), 2U);
  EXPECT_EQ(std::move(read_small_file(*files, "sub/b", 1)).value(), "2");
  EXPECT_EQ(read_small_file(*files, "nope", 1).error().message, "the checkpoint has no nope");
  EXPECT_EQ(read_small_file(*files, "a", 0).error().message,
            "a has 1 bytes, more than the 0 such a file may have");
}

TEST(SafetensorsIndex, RefusesNamesThatAreNoPlainFiles) {
  for (const std::string file :
       {R"("../x.safetensors")", R"("/x.safetensors")", R"("a/x.safetensors")",
        R"("a\\x.safetensors")", R"("x.bin")", R"(".safetensors")", R"(".x.safetensors")",
        R"("x\u0000.safetensors")", R"("x\n.safetensors")", R"("model.safetensors.index.json")",
        R"("")", "1", "-1", "1.5", "null", "true", "[]", "{}"}) {
    const auto parsed = parse_safetensors_index(R"({"weight_map":{"a":)" + file + "}}");
    ASSERT_FALSE(parsed.ok()) << file;
    EXPECT_EQ(parsed.error().code, Errc::corrupt);
    EXPECT_EQ(parsed.error().message,
              "model.safetensors.index.json: tensor 'a': its file is no plain file name ending in "
              ".safetensors");
  }
}

struct IndexCase {
  const char* name;
  std::string text;
  std::string want;  // empty: accepted
};

class IndexText : public testing::TestWithParam<IndexCase> {};

TEST_P(IndexText, IsAnswered) {
  const auto parsed = parse_safetensors_index(GetParam().text);
  const std::string got = parsed.ok() ? "" : parsed.error().message;
  const std::string& want = GetParam().want;
  EXPECT_EQ(got, want.empty() ? want : "model.safetensors.index.json: " + want);
}

const std::string kEntry = R"("weight_map":{"a":"x.safetensors"})";

INSTANTIATE_TEST_SUITE_P(
    All, IndexText,
    testing::ValuesIn(std::vector<IndexCase>{
        {"map_alone", "{" + kEntry + "}", ""},
        {"blanks_around", " \n{" + kEntry + "} \n", ""},
        {"stale_total_size", R"({"metadata":{"total_size":1},)" + kEntry + "}", ""},
        {"total_size_of_any_type", R"({"metadata":{"total_size":"much"},)" + kEntry + "}", ""},
        {"metadata_after",
         "{" + kEntry + R"(,"metadata":[{"weight_map":{"b":1}},null,-1,1.5,true]})", ""},
        {"nothing", "", "not valid JSON at byte 1"},
        {"list", "[]", "not a JSON object"},
        {"text", R"("{")", "not a JSON object"},
        {"cut", R"({"weight_map":{"a":"x.safetensors")", "not valid JSON at byte 35"},
        {"two_values", "{" + kEntry + "}{}", "not valid JSON at byte 37"},
        {"nul_padding", "{" + kEntry + "}" + std::string(2, '\0'), "it holds a NUL byte"},
        {"no_map", "{}", "weight_map is missing or empty"},
        {"empty_map", R"({"weight_map":{}})", "weight_map is missing or empty"},
        {"map_is_a_list", R"({"weight_map":[]})", "weight_map is no object"},
        {"map_is_null", R"({"weight_map":null})", "weight_map is no object"},
        {"map_elsewhere", R"({"metadata":{"weight_map":{"a":"x.safetensors"}}})",
         "weight_map is missing or empty"},
        {"two_maps", "{" + kEntry + "," + kEntry + "}", "weight_map is there twice"},
        {"tensor_twice", R"({"weight_map":{"a":"x.safetensors","a":"y.safetensors"}})",
         "tensor 'a' is there twice"},
        {"long_name", "{\"weight_map\":{\"" + std::string(513, 'n') + "\":\"x.safetensors\"}}",
         "weight_map: a tensor name of 513 bytes, or with control characters"},
        {"deep", R"({"metadata":)" + std::string(100'000, '['), "nested deeper than 64 levels"},
    }),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace glm::runner
