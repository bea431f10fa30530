// What hostile JSON can make of memory: a few times its own length, whatever it says. The texts are
// 4 MB here; GLM_TEST_HOSTILE_MB=100 measures the longest header and index there may be (the worst
// is one number of 100 MB: 7.8 times, for the parser keeps it in its message).
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>

#include "runner/checkpoint/generation_config.h"
#include "runner/checkpoint/model_config.h"
#include "runner/checkpoint/safetensors_header.h"
#include "runner/checkpoint/safetensors_index.h"
#include "tests/fakes/counted_memory.h"

namespace glm::runner {
namespace {

std::size_t text_bytes() {
  const char* megabytes = std::getenv("GLM_TEST_HOSTILE_MB");
  return (megabytes == nullptr ? 4 : std::strtoul(megabytes, nullptr, 10)) * 1'000'000 - 1024;
}

std::string repeated(std::string head, const std::function<std::string(std::size_t)>& piece) {
  std::string text = std::move(head);
  text.reserve(text_bytes() + 1024);
  for (std::size_t i = 0; text.size() < text_bytes(); ++i) text += piece(i);
  return text;
}

struct HostileText {
  const char* name;
  std::string head;
  std::string (*piece)(std::size_t number);
  std::string tail;
};

const std::vector<HostileText>& hostile_texts() {
  static const std::vector<HostileText> texts = {
      {"brackets", "{\"a\":", [](std::size_t) { return std::string(1000, '['); }, ""},
      {"braces", "{\"a\":", [](std::size_t) { return std::string("{\"a\":"); }, ""},
      {"one_string", "{\"", [](std::size_t) { return std::string(1000, 'n'); }, "\":1}"},
      {"one_escaped_string", "{\"", [](std::size_t) { return std::string("\\u4e2d"); }, "\":1}"},
      {"one_number", "{\"a\":", [](std::size_t) { return std::string(1000, '9'); }, "}"},
      {"blanks", "{", [](std::size_t) { return std::string(1000, ' '); }, "}"},
      {"keys", "{\"x\":1", [](std::size_t i) { return fmt::format(",\"{}\":1", i); }, "}"},
      {"list", "{\"x\":[1", [](std::size_t) { return std::string(",1"); }, "]}"},
      {"list_of_lists", "{\"x\":[1", [](std::size_t) { return std::string(",[]"); }, "]}"},
      {"tensors", "{\"__metadata__\":{}",
       [](std::size_t i) {
         return fmt::format(R"(,"{}":{{"dtype":"U8","shape":[],"data_offsets":[{},{}]}})", i, i,
                            i + 1);
       },
       "}"},
      {"ranks", "{\"__metadata__\":{}",
       [](std::size_t i) {
         return fmt::format(
             R"(,"{}":{{"dtype":"U8","shape":[1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", i);
       },
       "}"},
      {"metadata", "{\"__metadata__\":{\"x\":\"\"",
       [](std::size_t i) { return fmt::format(",\"{}\":\"\"", i); }, "}}"},
      {"metadata_text", "{\"__metadata__\":{\"x\":\"",
       [](std::size_t) { return std::string(1000, 'm'); }, "\"}}"},
      {"dtype", "{\"a\":{\"dtype\":\"", [](std::size_t) { return std::string(1000, 'd'); }, "\"}}"},
      {"shape", "{\"a\":{\"shape\":[1", [](std::size_t) { return std::string(",1"); }, "]}}"},
      {"weight_map", "{\"weight_map\":{\"x\":\"x.safetensors\"",
       [](std::size_t i) { return fmt::format(",\"{}\":\"x.safetensors\"", i); }, "}}"},
      {"eos", "{\"model_type\":\"glm4_moe_lite\",\"eos_token_id\":[1",
       [](std::size_t) { return std::string(",1"); }, "]}"},
      {"architecture", "{\"model_type\":\"", [](std::size_t) { return std::string(1000, 'a'); },
       "\"}"},
  };
  return texts;
}

class HostileMemory : public testing::TestWithParam<HostileText> {};

TEST_P(HostileMemory, IsBoundedByTheLengthOfTheText) {
  const std::string text = repeated(GetParam().head, GetParam().piece) + GetParam().tail;
  const auto measure = [&](const char* reader, auto read) {
    const std::size_t before = fakes::live_bytes();
    fakes::restart_peak();
    { const auto result = read(); }
    const double times =
        static_cast<double>(fakes::peak_bytes() - before) / static_cast<double>(text.size());
    EXPECT_LE(fakes::peak_bytes() - before, 12 * text.size()) << reader;
    if (std::getenv("GLM_TEST_HOSTILE_MB") != nullptr) {
      std::printf("%-20s %-10s %5.2f times the text\n", GetParam().name, reader, times);
    }
  };
  measure("header", [&] { return parse_safetensors_header(text, 8 + text.size() + 1'000'000); });
  measure("index", [&] { return parse_safetensors_index(text); });
  measure("config", [&] { return parse_model_config(text); });
  measure("generation", [&] { return parse_generation_config(text); });
}

INSTANTIATE_TEST_SUITE_P(All, HostileMemory, testing::ValuesIn(hostile_texts()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace glm::runner
