// Looking at a repository without pulling it. What was asked for is counted at the hub: nothing of
// the weights may have been.
#include "registry/preview.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <charconv>

#include "registry/hub_client.h"
#include "tests/fakes/fake_hub.h"
#include "tests/fakes/manual_clock.h"

namespace glm::registry {
namespace {

using fakes::Fault;
using fakes::FaultKind;
using fakes::Step;
using testing::HasSubstr;

constexpr const char* kRepository = "org/model";
constexpr std::uint64_t kShardBytes = 5'368'709'120;

std::string length_of(std::uint64_t bytes) {
  std::string prefix;
  for (int shift = 0; shift < 64; shift += 8) prefix += static_cast<char>(bytes >> shift & 0xFF);
  return prefix;
}

std::string shard_name(int shard, int shards) {
  return fmt::format("model-{:05}-of-{:05}.safetensors", shard, shards);
}

// A header as far as this folder cares: some text of its own length.
std::string header_of(int shard) {
  return fmt::format(R"({{"t{}": {}}})", shard, std::string(static_cast<std::size_t>(shard), '1'));
}

// Bytes of the weights files that were asked for.
std::uint64_t asked_bytes(const fakes::FakeHub& hub) {
  std::uint64_t sum = 0;
  for (const fakes::HubRequest& request : hub.requests()) {
    if (request.method != "GET" || request.host != "cdn") continue;
    std::uint64_t first = 0, last = kShardBytes;  // without a range: everything
    if (request.range.starts_with("bytes=")) {
      const char* end = request.range.data() + request.range.size();
      const auto [dash, bad] = std::from_chars(request.range.data() + 6, end, first);
      if (bad == std::errc()) (void)std::from_chars(dash + 1, end, last);
    }
    sum += last - first + 1;
  }
  return sum;
}

class PreviewTest : public testing::Test {
 protected:
  void host(int shards) {
    hub_.add_file(kRepository, "config.json", R"({"model_type": "x"})");
    hub_.add_file(kRepository, "tokenizer.json", std::string(5000, 't'));
    std::string map;
    for (int shard = 1; shard <= shards; ++shard) {
      const std::string name = shard_name(shard, shards), header = header_of(shard);
      hub_.add_hollow_file(kRepository, name, length_of(header.size()) + header, kShardBytes);
      map += fmt::format(R"({}"t{}": "{}")", shard > 1 ? ", " : "", shard, name);
    }
    hub_.add_file(kRepository, "model.safetensors.index.json",
                  fmt::format(R"({{"weight_map": {{{}}}}})", map));
  }

  Result<Preview> look(PreviewLimits limits = {}, std::stop_token stop = {}) {
    HubOptions options;
    options.endpoint = hub_.url();
    options.retry.first_wait = std::chrono::milliseconds(1);
    HubSource source(options, clock_);
    return preview(source, kRepository, "main", limits, stop);
  }

  fakes::FakeHub hub_;
  fakes::ManualClock clock_;
};

TEST_F(PreviewTest, ReadsHeadersAndNothingOfTheWeights) {
  host(11);
  const Result<Preview> seen = look();
  ASSERT_TRUE(seen.ok()) << seen.error().message;
  EXPECT_EQ(seen->snapshot.commit, hub_.commit(kRepository));
  EXPECT_EQ(seen->small_files.size(), 2U);
  EXPECT_EQ(seen->small_files.at("config.json"), R"({"model_type": "x"})");
  ASSERT_EQ(seen->headers.size(), 11U);
  std::uint64_t header_bytes = 0;
  for (int shard = 1; shard <= 11; ++shard) {
    const WeightsHeader& header = seen->headers[static_cast<std::size_t>(shard) - 1];
    EXPECT_EQ(header.path, shard_name(shard, 11));
    EXPECT_EQ(header.json, header_of(shard));
    EXPECT_EQ(header.file_bytes, kShardBytes);
    header_bytes += 8 + header.json.size();
  }
  EXPECT_EQ(seen->weights_bytes, 11 * kShardBytes);
  EXPECT_EQ(asked_bytes(hub_), header_bytes);
  EXPECT_EQ(seen->bytes_read, header_bytes + seen->small_files.at("config.json").size() +
                                  seen->small_files.at("model.safetensors.index.json").size());
  EXPECT_FALSE(seen->refusal);
}

TEST_F(PreviewTest, SurvivesAHubThatFailsNowAndThen) {
  for (const Fault& fault : std::initializer_list<Fault>{
           {.kind = FaultKind::status, .step = Step::data, .times = 2, .status = 503},
           {.kind = FaultKind::cut, .step = Step::data, .times = 3, .bytes = 5},
           {.kind = FaultKind::expire, .bytes = 1},
           {.kind = FaultKind::ignore_range, .step = Step::data, .skip = 1, .times = 1}}) {
    host(3);
    hub_.misbehave(kRepository, "", fault);
    const Result<Preview> seen = look();
    ASSERT_TRUE(seen.ok()) << seen.error().message;
    for (int shard = 1; shard <= 3; ++shard) {
      EXPECT_EQ(seen->headers[static_cast<std::size_t>(shard) - 1].json, header_of(shard));
    }
    hub_.behave();
  }
}

TEST_F(PreviewTest, EndsAtTheFirstFailureWithTheFileItConcerns) {
  host(5);
  hub_.misbehave(kRepository, shard_name(4, 5),
                 {.kind = FaultKind::status, .step = Step::resolve, .status = 404});
  const Result<Preview> seen = look();
  ASSERT_FALSE(seen.ok());
  EXPECT_THAT(seen.error().message, HasSubstr(shard_name(4, 5)));
}

TEST_F(PreviewTest, BelievesNoLengthThatCannotBe) {
  for (const std::uint64_t length :
       {kShardBytes - 7, std::uint64_t{100'000'001}, ~std::uint64_t{}}) {
    host(1);
    hub_.add_hollow_file(kRepository, shard_name(1, 1), length_of(length), kShardBytes);
    hub_.forget_requests();
    const Result<Preview> seen = look();
    ASSERT_FALSE(seen.ok());
    EXPECT_EQ(seen.error().code, Errc::corrupt);
    EXPECT_EQ(seen.error().message,
              fmt::format("{}: a header of {} bytes in a file of {} cannot be", shard_name(1, 1),
                          length, kShardBytes));
    EXPECT_EQ(asked_bytes(hub_), 8U);
  }
  hub_.add_hollow_file(kRepository, shard_name(1, 1), "1234567", 7);
  EXPECT_EQ(look().error().message, shard_name(1, 1) + ": 7 bytes are no safetensors file");
}

TEST_F(PreviewTest, ReadsNoMoreThanItsLimits) {
  host(4);
  EXPECT_EQ(look({.weights_files_max = 3}).error().message,
            "org/model: 4 weights files are more than the 3 that any model has");
  EXPECT_EQ(look({.bytes_max = 40}).error().message,
            "org/model: config and headers have more than 40 bytes");
}

TEST_F(PreviewTest, TellsWhatARepositoryHoldsInsteadOfWeightsForUs) {
  hub_.add_file(kRepository, "config.json", R"({"model_type": "glm4_moe"})");
  hub_.add_file(kRepository, "model-Q4_K_M.gguf", "GGUF");
  const Result<Preview> seen = look();
  ASSERT_TRUE(seen.ok()) << seen.error().message;
  ASSERT_TRUE(seen->refusal);
  EXPECT_EQ(seen->refusal->message,
            "org/model has no safetensors weights: it holds GGUF files; pull the safetensors "
            "repository it was made from");
  EXPECT_EQ(seen->small_files.size(), 1U);
  EXPECT_EQ(seen->snapshot.files.size(), 2U);
}

TEST_F(PreviewTest, StopsWhenAsked) {
  host(3);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(look({}, stop.get_token()).error().code, Errc::cancelled);
}

}  // namespace
}  // namespace glm::registry
