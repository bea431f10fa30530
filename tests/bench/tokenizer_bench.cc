// How fast text becomes tokens, on one thread.
//
//   bench_tokenizer                          tokenizers and texts of its own, and a large file to
//   load;
//                                            fails below the floors at the top of this file
//   bench_tokenizer TOKENIZER.json TEXT...   one line of JSON for each text, for
//   compare_tokenizers.py
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "runner/text/tokenizer.h"
#include "runner/text/utf8.h"

namespace glm::runner {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kEncodeFloor = 5;  // MB/s, English and Chinese
constexpr double kLoadCeiling = 1;  // seconds
constexpr int kRounds = 5;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

template <typename Work>
double best_seconds(int rounds, Work work) {
  double best = 1e9;
  for (int i = 0; i < rounds; ++i) {
    const auto before = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - before;
    best = std::min(best, took.count());
  }
  return best;
}

struct Speed {
  std::size_t tokens = 0;
  double megabytes_per_s = 0;
};

Speed encode_speed(const Tokenizer& tokenizer, const std::string& text) {
  Speed speed;
  const double seconds =
      best_seconds(kRounds, [&] { speed.tokens = tokenizer.encode(text).size(); });
  speed.megabytes_per_s = static_cast<double>(text.size()) / 1e6 / seconds;
  return speed;
}

// Words of a made-up language with the frequencies of a real one.
std::string prose(std::size_t size_bytes, bool chinese) {
  std::mt19937 random(4);
  std::vector<std::string> words(20000);
  for (std::string& word : words) {
    const auto length = 1 + random() % (chinese ? 3 : 9);
    for (std::size_t i = 0; i < length; ++i) {
      const auto pick = static_cast<char32_t>(random());
      append_utf8(word, chinese ? U'\u4E00' + pick % 6000 : U'a' + pick % 26);
    }
  }
  std::string text;
  while (text.size() < size_bytes) {
    const double uniform = static_cast<double>(random()) / 4294967296.0;
    text += words[static_cast<std::size_t>(std::pow(20000.0, uniform)) - 1];
    const auto kind = random() % 12;
    if (kind == 0) text += chinese ? "，" : ", ";
    if (kind == 1) text += chinese ? "。\n" : ".\n";
    if (kind > 1 && !chinese) text += ' ';
  }
  return text;
}

std::string repeated(std::string_view part, std::size_t size_bytes) {
  std::string text;
  while (text.size() < size_bytes) text += part;
  return text;
}

std::string noise(std::size_t size_bytes) {
  std::mt19937 random(5);
  std::string text(size_bytes, '\0');
  for (char& byte : text) byte = static_cast<char>(random());
  return text;
}

// 150,000 tokens and 320,000 merges, written over many lines as the reference writes them.
std::string large_file() {
  std::mt19937 random(6);
  std::vector<std::string> tokens;
  std::unordered_map<std::string, std::size_t> ids;
  const auto add = [&](std::string token) {
    if (ids.emplace(token, tokens.size()).second) tokens.push_back(std::move(token));
  };
  for (char32_t c = 0x21; c < 0x144; ++c) {
    if (c == '"' || c == '\\' || (c > 0x7E && c < 0xA1)) continue;
    std::string character;
    append_utf8(character, c);
    add(character);
  }
  const std::size_t letters = tokens.size();
  while (tokens.size() < 150'000) {
    std::string token = tokens[random() % tokens.size()] + tokens[random() % letters];
    if (token.size() < 40) add(std::move(token));
  }
  std::string merges;
  for (std::size_t count = 0, at = letters; count < 320'000;
       at = at + 1 < tokens.size() ? at + 1 : letters) {
    const std::string& token = tokens[at];
    for (std::size_t cut = 1; cut < token.size() && count < 320'000; ++cut) {
      const std::string left = token.substr(0, cut), right = token.substr(cut);
      if (!ids.contains(left) || !ids.contains(right)) continue;
      merges += fmt::format("{}      [\n        \"{}\",\n        \"{}\"\n      ]",
                            count++ == 0 ? "" : ",\n", left, right);
    }
  }
  std::string vocab;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    vocab += fmt::format("{}      \"{}\": {}", id == 0 ? "" : ",\n", tokens[id], id);
  }
  return fmt::format(
      R"({{"added_tokens": [], "decoder": {{"type": "ByteLevel"}}, "pre_tokenizer": {{"type": "ByteLevel"}},
"model": {{"type": "BPE", "vocab": {{
{}
}}, "merges": [
{}
]}}}})",
      vocab, merges);
}

Result<Tokenizer> of_suite(const Json& golden, std::string_view name) {
  for (const Json& suite : golden["suites"]) {
    if (suite["name"] == name) return Tokenizer::parse(suite["tokenizer"].dump());
  }
  return make_error(Errc::not_found, "no suite {}", name);
}

int run_own() {
  const std::string path = GLM_SOURCE_DIR "/tests/golden/text/tokenizers.json";
  const Json golden = Json::parse(read_file(path), nullptr, false);
  if (golden.is_discarded()) return fmt::print(stderr, "{} is not JSON\n", path), 1;
  const std::pair<const char*, std::string> texts[] = {
      {"english", prose(2'000'000, false)},      {"chinese", prose(2'000'000, true)},
      {"a's", std::string(1'000'000, 'a')},      {"two million a's", std::string(2'000'000, 'a')},
      {"spaces", std::string(1'000'000, ' ')},   {"marks", repeated("\u0301\u0316", 1'000'000)},
      {"one long word", prose(1'000'000, true)}, {"noise", noise(1'000'000)},
  };
  bool good = true;
  for (const char* name :
       {"glm", "qwen_nfc", "llama2", "mistral", "gemma", "unigram", "unigram_whole", "bert"}) {
    auto tokenizer = of_suite(golden, name);
    if (!tokenizer.ok()) return fmt::print(stderr, "{}\n", tokenizer.error().message), 1;
    for (const auto& [title, text] : texts) {
      const Speed speed = encode_speed(*tokenizer, text);
      fmt::print("{:14} {:16} {:8.1f} MB/s {:9} tokens\n", name, title, speed.megabytes_per_s,
                 speed.tokens);
      const bool prose =
          std::string_view(title) == "english" || std::string_view(title) == "chinese";
      good = good && (!prose || speed.megabytes_per_s >= kEncodeFloor);
    }
  }
  const std::string file = large_file();
  bool parsed = true;
  const double seconds =
      best_seconds(kRounds, [&] { parsed = parsed && Tokenizer::parse(file).ok(); });
  fmt::print("load {:.1f} MB in {:.2f} s\n", static_cast<double>(file.size()) / 1e6, seconds);
  good = good && parsed && seconds < kLoadCeiling;
  if (!good) fmt::print("below the floor: {} MB/s, {} s\n", kEncodeFloor, kLoadCeiling);
  return good ? 0 : 1;
}

int run_files(const std::vector<std::string>& paths) {
  auto tokenizer = Tokenizer::parse(read_file(paths[0]));
  if (!tokenizer.ok()) {
    fmt::print(stderr, "{}: {}\n", paths[0], tokenizer.error().message);
    return 1;
  }
  for (std::size_t i = 1; i < paths.size(); ++i) {
    const Speed speed = encode_speed(*tokenizer, read_file(paths[i]));
    std::printf("%s\n", Json{{"text", paths[i]},
                             {"tokens", speed.tokens},
                             {"megabytes_per_s", speed.megabytes_per_s}}
                            .dump()
                            .c_str());
  }
  return 0;
}

}  // namespace
}  // namespace glm::runner

int main(int argc, char** argv) {
  if (argc == 1) return glm::runner::run_own();
  return glm::runner::run_files({argv + 1, argv + argc});
}
