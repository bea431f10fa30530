// `glm bench` in this process, as a program, on the CPU: the tables and the JSON of a model and of
// operations, and what it says of mistakes.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/cli/glm_process.h"

namespace glm::testing {
namespace {

using nlohmann::json;

class BenchForms : public ::testing::Test {
 protected:
  Ran bench(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "bench");
    return run_glm({.arguments = std::move(arguments),
                    .input = {},
                    .environment = {{"GLM_HOME", home.path().string()}, {"GLM_DEVICE", "cpu"}}});
  }

  TempFolder home;
};

std::vector<json> lines(const std::string& text) {
  std::vector<json> values;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) values.push_back(json::parse(line));
  return values;
}

// Figures to '#', runs of blanks to one.
std::string without_figures(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool figure = (c >= '0' && c <= '9') || (c == '.' && !out.empty() && out.back() == '#');
    const char shown = figure ? '#' : c;
    if ((shown == '#' || shown == ' ') && !out.empty() && out.back() == shown) continue;
    out += shown;
  }
  return out;
}

// Without what is said of a load that takes long.
std::string without_load(const std::string& text) {
  std::string out;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    if (line.find(" of weights are on ") == std::string::npos) out += line + '\n';
  }
  return out;
}

TEST_F(BenchForms, PrintsATableOfAModelThatNobodyDownloaded) {
  const Ran ran = bench({"--synthetic", "tiny", "--pp", "12,20", "--tg", "3", "--batch", "1,2"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(without_load(ran.err),
            "measuring 1 sequence of 15 tokens\nmeasuring 2 sequences of 15 tokens\n"
            "measuring 1 sequence of 23 tokens\nmeasuring 2 sequences of 23 tokens\n");
  const std::string row = "| # | # | # | # | # | # | # | # | # | # | # | # |\n";
  EXPECT_EQ(
      without_figures(ran.out),
      "glm # on cpu (# threads): reads # GB/s\n"
      "tiny:latest, random weights in the layout of glm-tiny: bf#, # layers, # MB of weights, "
      "ready in # s; cache f#, # tokens before each prompt, temperature #\n"
      "% of read: the bytes of a step, weights of as many experts as even choice needs and the "
      "cache, over what the device can read in its time\n"
      "\n"
      "| PP | TG | B | N_KV | T_PP s | S_PP t/s | T_TG s | S_TG t/s | T s | S t/s | GB/step "
      "|% of read |\n"
      "|-------|-------|-----|--------|----------|----------|----------|----------|----------|-----"
      "-----|---------|----------|\n" +
          row + row + row + row);
  EXPECT_NE(ran.out.find("\n|    20 |     3 |   2 |     46 |"), std::string::npos) << ran.out;
}

TEST_F(BenchForms, PrintsJsonAndNothingElse) {
  const Ran ran = bench({"--synthetic", "tiny:int4", "--layers", "2", "--pp", "3", "--tg", "2",
                         "--batch", "2", "--ctx", "5", "--seed", "9", "--json", "-"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(without_load(ran.err), "measuring 2 sequences of 10 tokens\n");
  const std::vector<json> rows = lines(ran.out);
  ASSERT_EQ(rows.size(), 1u);
  const json& row = rows.front();
  EXPECT_EQ(row["model"], "tiny:int4");
  EXPECT_EQ(row["layout"], "glm-tiny-int4");
  EXPECT_EQ(row["layers"], 2);
  EXPECT_EQ(row["seed"], 9);
  EXPECT_EQ(row["pp"], 3);
  EXPECT_EQ(row["tg"], 2);
  EXPECT_EQ(row["pl"], 2);
  EXPECT_EQ(row["ctx"], 5);
  EXPECT_EQ(row["n_kv"], 20);
  for (const char* name : {"date", "version", "device", "format", "kv_cache_type"}) {
    EXPECT_TRUE(row[name].is_string()) << name;
  }
  for (const char* name :
       {"t_pp", "speed_pp", "t_tg", "speed_tg", "t", "speed", "step_weight_bytes",
        "step_cache_bytes", "read_bytes_per_s", "part_of_roofline"}) {
    EXPECT_GT(row[name].get<double>(), 0) << name;
  }
}

TEST_F(BenchForms, MeasuresAModelThatIsHere) {
  const std::string file = (home.path() / "rows.json").string();
  for (const char* model : {"tiny", GLM_SOURCE_DIR "/models/glm-tiny"}) {
    const Ran ran = bench({model, "--pp", "9", "--tg", "2", "--batch", "1", "--json", file});
    EXPECT_EQ(ran.exit_code, 0) << ran.err;
    EXPECT_NE(ran.out.find("\n|     9 |     2 |   1 |     11 |"), std::string::npos) << ran.out;
    EXPECT_EQ(ran.out.find("random weights"), std::string::npos);
    std::ifstream stream(file);
    std::stringstream text;
    text << stream.rdbuf();
    ASSERT_EQ(lines(text.str()).size(), 1u);
    EXPECT_EQ(lines(text.str()).front()["layout"], "");
  }
}

TEST_F(BenchForms, TakesAConfigOfAnyModel) {
  const std::string config = GLM_SOURCE_DIR "/models/glm-tiny-int4/config.json";
  const Ran ran =
      bench({"--synthetic", config, "--pp", "4", "--tg", "1", "--batch", "1", "--json", "-"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(lines(ran.out).front()["layout"], config);
}

TEST_F(BenchForms, PrintsATableOfOperations) {
  const Ran ran = bench({"--kernels", "--only", "sum", "--tokens", "1,3"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_NE(
      ran.out.find("| operation                          | tokens |        us |   GB/s | TFLOP/s "
                   "| % ceiling |\n"),
      std::string::npos)
      << ran.out;
  EXPECT_NE(ran.out.find("\n| sum and norm 2048                  |      3 |"), std::string::npos)
      << ran.out;
  const Ran as_json = bench({"--kernels", "--only", "latents", "--json", "-"});
  const std::vector<json> rows = lines(as_json.out);
  ASSERT_EQ(rows.size(), 1u) << as_json.err;
  EXPECT_EQ(rows[0]["operation"], "latents and queries int4 768->5120");
  EXPECT_EQ(rows[0]["tokens"], 1);
  for (const char* name :
       {"seconds", "bytes_per_s", "part_of_ceiling", "read_bytes_per_s", "multiply_flops_per_s"}) {
    EXPECT_GT(rows[0][name].get<double>(), 0) << name;
  }
}

struct Mistake {
  const char* name;
  std::vector<std::string> arguments;
  int exit_code;
  std::string message;  // begins so
};

void PrintTo(const Mistake& mistake, std::ostream* out) {
  *out << mistake.name;
}

class BenchMistakes : public BenchForms, public ::testing::WithParamInterface<Mistake> {};

TEST_P(BenchMistakes, AreToldOnceAndNothingIsPrinted) {
  const Ran ran = bench(GetParam().arguments);
  EXPECT_EQ(ran.exit_code, GetParam().exit_code);
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(ran.err.substr(0, 5 + GetParam().message.size()), "glm: " + GetParam().message);
  EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
}

const char* const kWhich =
    "glm bench measures one thing at a time: MODEL, --synthetic NAME, --kernels, or --serve URL "
    "MODEL; ";

INSTANTIATE_TEST_SUITE_P(
    All, BenchMistakes,
    ::testing::Values(
        Mistake{"nothing", {}, 2, std::string(kWhich) + "which?"},
        Mistake{"two_things", {"tiny", "--kernels"}, 2, std::string(kWhich) + "give one of them"},
        Mistake{"a_server_without_a_model",
                {"--serve", "http://127.0.0.1:1"},
                2,
                "--serve http://127.0.0.1:1: say which model of it: MODEL"},
        Mistake{"a_flag_of_the_server",
                {"tiny", "--input-len", "5"},
                2,
                "--input-len belongs to --serve, not to MODEL"},
        Mistake{"a_flag_of_models",
                {"m", "--serve", "http://127.0.0.1:1", "--pp", "5"},
                2,
                "--pp belongs to MODEL and --synthetic, not to --serve"},
        Mistake{"a_flag_of_operations",
                {"--synthetic", "tiny", "--tokens", "4"},
                2,
                "--tokens belongs to --kernels, not to --synthetic"},
        Mistake{"layers_of_a_model_that_is_here",
                {"tiny", "--layers", "2"},
                2,
                "--layers belongs to --synthetic, not to MODEL"},
        Mistake{"too_many_layers",
                {"--synthetic", "glm-4.7-flash:awq", "--layers", "99"},
                2,
                "glm-4.7-flash:awq: 99 layers: the model has 47"},
        Mistake{"a_batch_of_nothing",
                {"--synthetic", "tiny", "--batch", "1,0"},
                2,
                "--batch wants up to 64 numbers from 1 to 256 with commas between them, got '1,0'"},
        Mistake{"more_than_the_context",
                {"--synthetic", "tiny", "--pp", "4000"},
                2,
                "--ctx, --pp and --tg are 4128 tokens together, tiny:latest has a context of 4096"},
        Mistake{"a_cache_of_no_kind",
                {"--synthetic", "tiny", "--kv-cache-type", "q8"},
                2,
                "--kv-cache-type: kv_cache_type wants bf16 or fp8, got 'q8'"},
        Mistake{"a_negative_context",
                {"--synthetic", "tiny", "--ctx", "-1"},
                2,
                "--ctx wants 0 to 1048576, got -1"},
        Mistake{"a_temperature",
                {"--synthetic", "tiny", "--temperature", "7"},
                2,
                "--temperature wants 0 to 2, got 7"},
        Mistake{"a_device",
                {"tiny", "--device", "tpu"},
                2,
                "device 'tpu' wants auto, cpu, cuda or cuda:N"},
        Mistake{"a_tag_that_is_not_there",
                {"--synthetic", "glm-4.7-flash:x"},
                3,
                "--synthetic: glm-4.7-flash has no tag 'x'; it has latest, "},
        Mistake{"a_repository_of_unknown_layout",
                {"--synthetic", "foo/bar"},
                3,
                "--synthetic: how foo/bar is stored is not known here; give the path of its "
                "config.json, or one of "},
        Mistake{"a_config_that_is_not_there",
                {"--synthetic", "/nowhere/config.json"},
                3,
                "--synthetic /nowhere/config.json: "},
        Mistake{"a_model_that_is_not_there", {"nothere"}, 3, "nothere: "},
        Mistake{"a_model_larger_than_memory",
                {"--synthetic", "zai-org/GLM-4.7"},
                9,
                "zai-org/GLM-4.7 needs "},
        Mistake{"an_operation",
                {"--kernels", "--only", "xx"},
                3,
                "--only 'xx': no operation is called that; there are norm and int4 2048->1344, "},
        Mistake{"tokens_beyond_a_step",
                {"--kernels", "--tokens", "513"},
                2,
                "--tokens wants up to 64 numbers from 1 to 512 "},
        Mistake{"a_file_that_cannot_be_written",
                {"--synthetic", "tiny", "--json", "/nowhere/rows.json"},
                3,
                "--json /nowhere/rows.json: it cannot be written: No such file or directory"}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace glm::testing
