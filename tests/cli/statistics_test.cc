#include "cmd/cli/statistics.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <nlohmann/json.hpp>

namespace glm {
namespace {

TEST(FormatNanoseconds, WritesDurationsAsGoDoes) {
  EXPECT_EQ(format_nanoseconds(0), "0s");
  EXPECT_EQ(format_nanoseconds(1), "1ns");
  EXPECT_EQ(format_nanoseconds(1'100), "1.1µs");
  EXPECT_EQ(format_nanoseconds(98'765'432), "98.765432ms");
  EXPECT_EQ(format_nanoseconds(1'000'000'000), "1s");
  EXPECT_EQ(format_nanoseconds(1'234'567'891), "1.234567891s");
  EXPECT_EQ(format_nanoseconds(62'500'000'000), "1m2.5s");
  EXPECT_EQ(format_nanoseconds(3'600'000'000'000), "1h0m0s");
  EXPECT_EQ(format_nanoseconds(-1'500'000), "-1.5ms");
  EXPECT_FALSE(format_nanoseconds(INT64_MIN).empty());
}

TEST(StatisticsText, IsLaidOutAsReadersExpect) {
  const nlohmann::ordered_json last = {{"total_duration", 812'345'678},
                                       {"load_duration", 41'234'567},
                                       {"prompt_eval_count", 12},
                                       {"prompt_eval_duration", 98'765'432},
                                       {"eval_count", 25},
                                       {"eval_duration", 654'321'000}};
  EXPECT_EQ(statistics_text(last),
            "total duration:       812.345678ms\n"
            "load duration:        41.234567ms\n"
            "prompt eval count:    12 token(s)\n"
            "prompt eval duration: 98.765432ms\n"
            "prompt eval rate:     121.50 tokens/s\n"
            "eval count:           25 token(s)\n"
            "eval duration:        654.321ms\n"
            "eval rate:            38.21 tokens/s\n");
}

TEST(StatisticsText, DoesWithoutWhatIsMissing) {
  EXPECT_EQ(statistics_text(nlohmann::ordered_json::object()),
            "total duration:       0s\n"
            "load duration:        0s\n");
  EXPECT_EQ(statistics_text({{"eval_count", "many"}, {"total_duration", 1e3}}),
            "total duration:       1µs\n"
            "load duration:        0s\n");
}

}  // namespace
}  // namespace glm
