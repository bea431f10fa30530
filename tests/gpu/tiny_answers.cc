// tiny_answers FOLDER PROMPTS.jsonl [--device cuda:0] [--against cpu] [--count 500] [--batch 64]
//
// Answers held-out prompts greedily on two devices, in batches and one by one, and once with the
// tokens sampled on the device and fed back there; and prints how often the answers are the same,
// where they first part (with the distance between the two largest logits there: near-ties may),
// and how many are right. Fails below 99 % or when accuracy differs by more than half a point.
// Judged are the prompts whose expected answer is a text.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <deque>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "runner/models/registry.h"
#include "runner/text/chat_template.h"
#include "runner/text/tokenizer.h"

namespace glm {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kTokensMax = 256;

struct Question {
  std::vector<std::int32_t> prompt;
  std::string expected;
  bool thinking = false;
};

struct Answer {
  std::vector<std::int32_t> ids;
  std::vector<float> gaps;  // between the two largest logits, at each
};

std::string read_text(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// `count` of those that can be judged, spread over the file.
Result<std::vector<Question>> read_questions(const std::string& path, std::size_t count,
                                             const runner::ChatTemplate& chat_template,
                                             const runner::Tokenizer& tokenizer) {
  std::vector<Json> rows;
  std::ifstream stream(path);
  for (std::string line; std::getline(stream, line);) {
    Json row = Json::parse(line, nullptr, false);
    if (row.is_object() && row["expected"].is_string()) rows.push_back(std::move(row));
  }
  if (rows.empty()) return make_error(Errc::not_found, "{} has no questions", path);
  count = std::min(count, rows.size());
  std::vector<Question> questions;
  for (std::size_t i = 0; i < count; ++i) {
    const Json& row = rows[i * rows.size() / count];
    Json context = {{"messages", row["messages"]},
                    {"add_generation_prompt", true},
                    {"enable_thinking", row["enable_thinking"]}};
    if (row.contains("tools")) context["tools"] = row["tools"];
    questions.push_back({.prompt = tokenizer.encode(GLM_TRY(chat_template.render(context))),
                         .expected = row["expected"].get<std::string>(),
                         .thinking = row["enable_thinking"].get<bool>()});
  }
  return questions;
}

// The largest logit, and how far the next one is behind.
std::pair<std::int32_t, float> choose(std::span<const float> logits) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < logits.size(); ++i) best = logits[i] > logits[best] ? i : best;
  float second = -1e30F;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (i != best) second = std::max(second, logits[i]);
  }
  return {static_cast<std::int32_t>(best), logits[best] - second};
}

// Sequences of one batch, each until its end.
Status answer(runner::Model& model, runner::KvPool& pool, std::span<const Question> questions,
              std::span<Answer> answers) {
  const runner::ModelFacts& facts = model.facts();
  const auto vocab = static_cast<std::size_t>(facts.vocab_size);
  std::vector<float> logits(questions.size() * vocab);
  std::vector<runner::KvCache> caches;
  std::vector<std::size_t> running;
  const auto take = [&](std::size_t q, std::size_t row) {
    const auto [id, gap] = choose(std::span(logits).subspan(row * vocab, vocab));
    answers[q].ids.push_back(id);
    answers[q].gaps.push_back(gap);
    const bool end =
        std::find(facts.eos_ids.begin(), facts.eos_ids.end(), id) != facts.eos_ids.end();
    if (!end && answers[q].ids.size() < kTokensMax) running.push_back(q);
  };
  for (std::size_t q = 0; q < questions.size(); ++q) {
    caches.emplace_back(pool);
    GLM_TRY(runner::run_tokens(model, caches.back(), questions[q].prompt,
                               std::span(logits).first(vocab)));
    take(q, 0);
  }
  while (!running.empty()) {
    const std::vector<std::size_t> now = std::exchange(running, {});
    std::vector<runner::SequenceStep> steps;
    for (const std::size_t q : now) {
      steps.push_back(
          {.tokens = std::span(answers[q].ids).last(1), .cache = &caches[q], .wants_logits = true});
    }
    GLM_TRY(model.forward(steps, std::span(logits).first(now.size() * vocab)));
    for (std::size_t row = 0; row < now.size(); ++row) take(now[row], row);
  }
  return Ok{};
}

// The same with steps in flight: each is asked for before the tokens of the last one are known.
Status answer_in_flight(runner::Model& model, runner::KvPool& pool,
                        std::span<const Question> questions, std::span<Answer> answers) {
  const std::vector<std::int32_t>& eos_ids = model.facts().eos_ids;
  const runner::SamplingOptions greedy{.temperature = 0};
  std::vector<runner::KvCache> caches;
  std::vector<std::size_t> running;
  std::deque<std::vector<std::size_t>> in_flight;
  const auto collect = [&]() -> Status {
    const auto sampled = GLM_TRY(model.collect());
    for (std::size_t i = 0; i < sampled.size(); ++i) {
      const std::size_t q = in_flight.front()[i];
      const auto found = std::find(running.begin(), running.end(), q);
      if (found == running.end()) continue;  // it had ended, and was asked once more
      answers[q].ids.push_back(sampled[i].id);
      const bool end = std::find(eos_ids.begin(), eos_ids.end(), sampled[i].id) != eos_ids.end();
      if (end || answers[q].ids.size() == kTokensMax) running.erase(found);
    }
    in_flight.pop_front();
    return Ok{};
  };
  for (std::size_t q = 0; q < questions.size(); ++q) {
    const std::span<const std::int32_t> prompt = questions[q].prompt;
    caches.emplace_back(pool);
    GLM_TRY(caches.back().reserve(static_cast<std::int64_t>(prompt.size()) + 1));
    GLM_TRY(runner::run_tokens(model, caches.back(), prompt.first(prompt.size() - 1), {}));
    const runner::SequenceStep step{
        .tokens = prompt.last(1), .cache = &caches.back(), .sampling = &greedy};
    GLM_TRY(model.submit({&step, 1}));
    in_flight.push_back({q});
    running.push_back(q);
    GLM_TRY(collect());
  }
  while (!running.empty() || !in_flight.empty()) {
    std::vector<runner::SequenceStep> steps;
    for (const std::size_t q : running) {
      GLM_TRY(caches[q].reserve(2));
      steps.push_back({.cache = &caches[q], .continues = true, .sampling = &greedy});
    }
    if (!steps.empty()) {
      GLM_TRY(model.submit(steps));
      in_flight.push_back(running);
    }
    if (steps.empty() || in_flight.size() == runner::kStepsInFlightMax) GLM_TRY(collect());
  }
  return Ok{};
}

using Way = Status (*)(runner::Model&, runner::KvPool&, std::span<const Question>,
                       std::span<Answer>);

Result<std::vector<Answer>> answer_all(const runner::CheckpointFiles& files,
                                       const std::string& device,
                                       std::span<const Question> questions, std::size_t batch,
                                       Way way = &answer) {
  runner::LoadOptions options;
  options.device = device;
  const auto model = GLM_TRY(runner::load_model(files, options));
  batch = std::max<std::size_t>(batch, 1);
  batch = std::min(batch, static_cast<std::size_t>(model->batch_limits().sequences_max));
  const auto pages = static_cast<std::int64_t>(batch) * runner::pages_of(2048);
  const auto pool = GLM_TRY(model->make_pool(pages));
  std::vector<Answer> answers(questions.size());
  for (std::size_t first = 0; first < questions.size(); first += batch) {
    const std::size_t count = std::min(batch, questions.size() - first);
    GLM_TRY(way(*model, *pool, questions.subspan(first, count),
                std::span(answers).subspan(first, count)));
  }
  return answers;
}

double accuracy(const runner::Tokenizer& tokenizer, std::span<const Question> questions,
                const std::vector<Answer>& answers) {
  std::size_t right = 0;
  for (std::size_t q = 0; q < questions.size(); ++q) {
    std::string text =
        tokenizer.decode(answers[q].ids, {.specials = runner::DecodeOptions::Specials::skip});
    if (questions[q].thinking) {
      const std::size_t end = text.find("</think>");
      if (end == std::string::npos) continue;
      text = text.substr(end + 8);
    }
    const std::size_t first = text.find_first_not_of(" \n");
    const std::size_t last = text.find_last_not_of(" \n");
    text = first == std::string::npos ? "" : text.substr(first, last - first + 1);
    right += text == questions[q].expected ? 1 : 0;
  }
  return 100.0 * static_cast<double>(right) / static_cast<double>(questions.size());
}

// Percent of answers that are the same; a line for each of the first few that are not.
double agreement(std::string_view what, const std::vector<Answer>& a,
                 const std::vector<Answer>& b) {
  std::size_t same = 0;
  int shown = 0;
  for (std::size_t q = 0; q < a.size(); ++q) {
    if (a[q].ids == b[q].ids) {
      ++same;
      continue;
    }
    if (shown++ == 3) continue;
    const auto apart =
        std::mismatch(a[q].ids.begin(), a[q].ids.end(), b[q].ids.begin(), b[q].ids.end());
    const auto at = static_cast<std::size_t>(apart.first - a[q].ids.begin());
    fmt::print("  {}: prompt {} parts at token {}, where logits are {:.4f} and {:.4f} apart\n",
               what, q, at, at < a[q].gaps.size() ? a[q].gaps[at] : 0.0F,
               at < b[q].gaps.size() ? b[q].gaps[at] : 0.0F);
  }
  return 100.0 * static_cast<double>(same) / static_cast<double>(a.size());
}

struct Arguments {
  std::string folder, prompts, device = "cuda:0", against = "cpu";
  std::size_t count = 500, batch = 64;
};

Result<bool> run(const Arguments& arguments) {
  const runner::CheckpointFiles files = GLM_TRY(runner::files_in(arguments.folder));
  const auto tokenizer = GLM_TRY(runner::Tokenizer::parse(read_text(files.at("tokenizer.json"))));
  const auto chat_template =
      GLM_TRY(runner::ChatTemplate::parse(read_text(files.at("chat_template.jinja"))));
  const std::vector<Question> questions =
      GLM_TRY(read_questions(arguments.prompts, arguments.count, chat_template, tokenizer));
  const auto reference = GLM_TRY(answer_all(files, arguments.against, questions, arguments.batch));
  const auto batched = GLM_TRY(answer_all(files, arguments.device, questions, arguments.batch));
  const auto alone = GLM_TRY(answer_all(files, arguments.device, questions, 1));
  const auto in_flight =
      GLM_TRY(answer_all(files, arguments.device, questions, arguments.batch, &answer_in_flight));
  const double same = agreement("devices", reference, batched);
  const double batches = agreement("batches", alone, batched);
  const double sampled = agreement("in flight", batched, in_flight);
  const double a = accuracy(tokenizer, questions, reference);
  const double b = accuracy(tokenizer, questions, batched);
  const bool good = same >= 99 && batches >= 99 && sampled >= 99 && std::abs(a - b) <= 0.5;
  fmt::print(
      "{:24} {} prompts: {} = {} {:6.2f} %, batch {} = batch 1 {:6.2f} %, = in flight {:6.2f} %, "
      "right {:.2f} % and {:.2f} % {}\n",
      std::filesystem::path(arguments.folder).filename().string(), questions.size(),
      arguments.device, arguments.against, same, arguments.batch, batches, sampled, a, b,
      good ? "ok" : "FAILED");
  return good;
}

Arguments parse(int count, char** words) {
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    const std::string_view value = i + 1 < count ? words[i + 1] : "";
    const auto number = [&](std::size_t& target) {
      std::from_chars(value.data(), value.data() + value.size(), target);
    };
    if (!word.starts_with("--")) {
      (arguments.folder.empty() ? arguments.folder : arguments.prompts) = word;
      continue;
    }
    ++i;
    if (word == "--device") arguments.device = value;
    if (word == "--against") arguments.against = value;
    if (word == "--count") number(arguments.count);
    if (word == "--batch") number(arguments.batch);
  }
  return arguments;
}

}  // namespace
}  // namespace glm

int main(int count, char** words) {
  const glm::Result<bool> good = glm::run(glm::parse(count, words));
  if (good.ok()) return *good ? 0 : 1;
  fmt::print(stderr, "tiny_answers: {}\n", good.error().message);
  return 1;
}
