// The table and the JSON of a row whose figures are known, and the lists rows are made from.
#include "cmd/bench/row_report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cmd/bench/row_plan.h"

namespace glm::bench {
namespace {

const MeasuredRow kRow{
    .shape = {.context = 100, .prompt = 512, .generate = 128, .sequences = 4},
    .times = {.prompt_s = 0.5, .generate_s = 0.64},
    .step = {.weights = 5e9, .cache = 1e9, .experts = 14.5},
    .read_bytes_per_s = 3e12,
};

TEST(RowReport, IsATableOfTheColumnsOfBatchedBench) {
  EXPECT_EQ(
      row_heading() + row_line(kRow),
      "|    PP |    TG |   B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    "
      "S t/s | GB/step |% of read |\n"
      "|-------|-------|-----|--------|----------|----------|----------|----------|----------|-----"
      "-----|---------|----------|\n"
      "|   512 |   128 |   4 |   2960 |    0.500 |  4096.00 |    0.640 |   800.00 |    1.140 |  "
      "2245.61 |   6.000 |     40.0 |\n");
}

TEST(RowReport, HasItsFieldNames) {
  const nlohmann::ordered_json json = row_json(kRow);
  std::string names;
  for (const auto& [name, value] : json.items()) {
    EXPECT_TRUE(value.is_number()) << name;
    names += name + " ";
  }
  EXPECT_EQ(names,
            "pp tg pl ctx n_kv t_pp speed_pp t_tg speed_tg t speed step_weight_bytes "
            "step_cache_bytes experts_expected read_bytes_per_s part_of_roofline ");
  EXPECT_EQ(json["n_kv"], 4 * (100 + 512 + 128));
  EXPECT_DOUBLE_EQ(json["speed_tg"].get<double>(), 800);
  EXPECT_DOUBLE_EQ(json["part_of_roofline"].get<double>(), 6e9 / 3e12 / 0.005);
}

TEST(RowPlan, MakesEveryCombination) {
  const auto rows =
      rows_of({.prompts = {8, 16}, .generates = {4}, .batches = {1, 2}, .context = 7});
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[1].prompt, 8);
  EXPECT_EQ(rows[1].sequences, 2);
  EXPECT_EQ(rows[2].prompt, 16);
  EXPECT_EQ(rows[3].tokens(), 2 * (7 + 16 + 4));
}

TEST(RowPlan, CountsAPageForTheTokenThatFollows) {
  EXPECT_EQ(pages_needed({.prompt = 60, .generate = 3, .sequences = 5}), 5);
  EXPECT_EQ(pages_needed({.prompt = 60, .generate = 4, .sequences = 5}), 10);
}

TEST(RowPlan, ReadsListsAndNamesTheFlagOfABadOne) {
  EXPECT_EQ(number_list("--pp", "1,20,300", 300).value(), (std::vector<std::int64_t>{1, 20, 300}));
  for (const char* text :
       {"", ",", "1,", "0", "-1", "301", "1;2", "x", " 1", "99999999999999999999"}) {
    const auto list = number_list("--pp", text, 300);
    ASSERT_FALSE(list.ok()) << text;
    EXPECT_EQ(list.error().code, Errc::invalid_argument);
    EXPECT_EQ(list.error().message,
              "--pp wants up to 64 numbers from 1 to 300 with commas between them, got '" +
                  std::string(text) + "'");
  }
}

}  // namespace
}  // namespace glm::bench
