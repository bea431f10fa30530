#include "cmd/cli/bench_workload.h"

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

namespace glm::bench {
namespace {

constexpr std::array<std::string_view, 64> kWords = {
    "time",     "year",    "people",   "way",    "day",        "man",    "thing",   "woman",
    "life",     "child",   "world",    "school", "state",      "family", "student", "group",
    "country",  "problem", "hand",     "part",   "place",      "case",   "week",    "company",
    "system",   "program", "question", "work",   "government", "number", "night",   "point",
    "home",     "water",   "room",     "mother", "area",       "money",  "story",   "fact",
    "month",    "lot",     "right",    "study",  "book",       "eye",    "job",     "word",
    "business", "issue",   "side",     "kind",   "head",       "house",  "service", "friend",
    "father",   "power",   "hour",     "game",   "line",       "end",    "member",  "law"};

}  // namespace

std::vector<std::string> RequestSource::next(std::size_t count) {
  std::vector<std::string> bodies;
  bodies.reserve(count);
  while (bodies.size() < count) bodies.push_back(next_body());
  return bodies;
}

// A remainder prefers small ids by one part in 2^40 or so.
std::string RequestSource::next_body() {
  nlohmann::ordered_json body = {{"model", workload_.model}};
  if (workload_.prompts == Workload::Prompts::ids) {
    std::vector<std::uint64_t> ids;
    for (std::int64_t i = 0; i < workload_.input_len; ++i) {
      ids.push_back(random_() % static_cast<std::uint64_t>(workload_.vocab_size));
    }
    body["prompt"] = ids;
  } else {
    std::string text;
    for (std::int64_t i = 0; i < workload_.input_len; ++i) {
      if (i > 0) text += ' ';
      text += kWords[random_() % kWords.size()];
    }
    body["prompt"] = text;
  }
  body["max_tokens"] = workload_.output_len;
  body["min_tokens"] = workload_.output_len;
  body["ignore_eos"] = true;
  body["temperature"] = workload_.temperature;
  body["repetition_penalty"] = 1.0;
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  using Json = nlohmann::ordered_json;
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace glm::bench
