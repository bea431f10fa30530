// What is refused, word for word, and what the numbers are where nothing is said.
#include "cmd/cli/bench_options.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <string_view>

namespace glm::bench {
namespace {

Options good() {
  Options options;
  options.model = "tiny";
  options.url = "http://127.0.0.1:8000";
  return options;
}

TEST(BenchOptions, HaveSensibleDefaults) {
  Options options = good();
  options.concurrency = "1,8,128";
  const Result<Plan> made = plan(options);
  ASSERT_TRUE(made.ok());
  ASSERT_EQ(made->levels.size(), 3u);
  EXPECT_EQ(made->levels[0].requests, 64u);
  EXPECT_EQ(made->levels[1].requests, 80u);
  EXPECT_EQ(made->levels[2].requests, 1280u);
  EXPECT_EQ(made->levels[2].concurrency, 128u);
  EXPECT_EQ(made->levels[2].warmups, 128u);
  EXPECT_EQ(made->workload.input_len, 512);
  EXPECT_EQ(made->workload.output_len, 256);
  EXPECT_EQ(made->target.path, "/v1/completions");
}

TEST(BenchOptions, TakeSoManyPromptsForEachStream) {
  Options options = good();
  options.concurrency = "1,128";
  options.per_stream = 3;
  const Result<Plan> made = plan(options);
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->levels[0].requests, 3u);
  EXPECT_EQ(made->levels[1].requests, 384u);
}

TEST(BenchOptions, TakeUrlsAsPeopleCopyThem) {
  for (const char* url :
       {"http://127.0.0.1:8000", "http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1",
        "http://127.0.0.1:8000/v1/", "127.0.0.1:8000"}) {
    Options options = good();
    options.url = url;
    const Result<Plan> made = plan(options);
    ASSERT_TRUE(made.ok()) << url;
    EXPECT_EQ(made->target.address.str(), "127.0.0.1:8000") << url;
  }
}

TEST(BenchOptions, AreRefusedWithWhatIsWanted) {
  struct Case {
    std::function<void(Options&)> change;
    Errc code;
    std::string message;
  };
  const auto levels = [](std::string_view got) {
    return fmt::format(
        "--concurrency wants up to 64 numbers from 1 to 4096 with commas between them, such as "
        "1,8,64; got '{}'",
        got);
  };
  const Case cases[] = {
      {[](Options& o) { o.url = std::string("https://box:8000"); }, Errc::unsupported,
       "--serve https://box:8000: the load generator speaks plain HTTP only, since TLS would be "
       "measured with the server; name its http:// address, or forward a port to it"},
      {[](Options& o) { o.url = std::string("http://box/x"); }, Errc::invalid_argument,
       "--serve: 'http://box/x' is no address of a daemon; write host:port such as "
       "127.0.0.1:11435"},
      {[](Options& o) { o.concurrency = std::string(""); }, Errc::invalid_argument, levels("")},
      {[](Options& o) { o.concurrency = std::string("1,"); }, Errc::invalid_argument, levels("1,")},
      {[](Options& o) { o.concurrency = std::string("0"); }, Errc::invalid_argument, levels("0")},
      {[](Options& o) { o.concurrency = std::string("4097"); }, Errc::invalid_argument,
       levels("4097")},
      {[](Options& o) { o.concurrency = std::string("1 2"); }, Errc::invalid_argument,
       levels("1 2")},
      {[](Options& o) { o.dataset = std::string("sharegpt"); }, Errc::unsupported,
       "--dataset 'sharegpt' is not there; only 'random' is"},
      {[](Options& o) { o.prompts = std::string("text"); }, Errc::invalid_argument,
       "--prompts wants ids or words, got 'text'"},
      {[](Options& o) { o.input_len = 0; }, Errc::invalid_argument,
       "--input-len wants 1 to 1048576, got 0"},
      {[](Options& o) { o.output_len = -3; }, Errc::invalid_argument,
       "--output-len wants 1 to 1048576, got -3"},
      {[](Options& o) { o.num_prompts = 1'000'001; }, Errc::invalid_argument,
       "--num-prompts wants 1 to 1000000, got 1000001"},
      {[](Options& o) { o.num_prompts = 0; }, Errc::invalid_argument,
       "--num-prompts wants 1 to 1000000, got 0"},
      {[](Options& o) { o.per_stream = 0; }, Errc::invalid_argument,
       "--prompts-per-stream wants 1 to 1000000, got 0"},
      {[](Options& o) { o.num_prompts = o.per_stream = 4; }, Errc::invalid_argument,
       "--num-prompts and --prompts-per-stream both say how many; give one"},
      {[](Options& o) { o.vocab_size = 1 << 25; }, Errc::invalid_argument,
       "--vocab-size wants 0 to 16777216, got 33554432"},
      {[](Options& o) { o.temperature = 2.5; }, Errc::invalid_argument,
       "--temperature wants 0 to 2, got 2.5"},
      {[](Options& o) { o.api_key = std::string("a\r\nb"); }, Errc::invalid_argument,
       "--api-key has characters that an HTTP header cannot carry"},
      {[](Options& o) {
         o.input_len = 1 << 20;
         o.num_prompts = 1000;
       },
       Errc::exhausted,
       "1000 prompts of 1048576 tokens take some 7 GB of memory before they are sent, 4 are taken "
       "at most; ask for fewer with --num-prompts"},
  };
  for (const Case& c : cases) {
    Options options = good();
    c.change(options);
    const Result<Plan> made = plan(options);
    ASSERT_FALSE(made.ok()) << c.message;
    EXPECT_EQ(made.error().code, c.code) << c.message;
    EXPECT_EQ(made.error().message, c.message);
  }
}

}  // namespace
}  // namespace glm::bench
