// teacher_forced FOLDER --tokens FILE --out FILE [--device cpu|cuda:N] [--prefill N]
//                [--impose FILE] [--record FILE] [--kv bf16|fp8]
//
// Runs the given tokens through a checkpoint: the first N at once, the others one by one, and
// writes the logits after token N and after each of the others: f32 [count, vocab]. Files of tokens
// and of routing are raw i32. scripts/gpu/true_dimensions.py compares them with the reference
// library.
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "runner/models/registry.h"
#include "tests/gpu/routing_ops.h"

namespace glm {
namespace {

template <typename T>
std::vector<T> read_all(const std::string& path) {
  std::ifstream stream(path, std::ios::binary | std::ios::ate);
  if (!stream) return {};
  std::vector<T> values(static_cast<std::size_t>(stream.tellg()) / sizeof(T));
  stream.seekg(0);
  stream.read(reinterpret_cast<char*>(values.data()),
              static_cast<std::streamsize>(values.size() * sizeof(T)));
  return values;
}

template <typename T>
void write_all(const std::string& path, const std::vector<T>& values) {
  std::ofstream stream(path, std::ios::binary);
  stream.write(reinterpret_cast<const char*>(values.data()),
               static_cast<std::streamsize>(values.size() * sizeof(T)));
}

struct Arguments {
  std::string folder, tokens, out, device = "cpu", impose, record, kv = "bf16";
  std::size_t prefill = 1;
};

Arguments parse(int count, char** words) {
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    const std::string value = i + 1 < count ? words[i + 1] : "";
    ++i;
    if (word == "--tokens") {
      arguments.tokens = value;
    } else if (word == "--out") {
      arguments.out = value;
    } else if (word == "--device") {
      arguments.device = value;
    } else if (word == "--kv") {
      arguments.kv = value;
    } else if (word == "--impose") {
      arguments.impose = value;
    } else if (word == "--record") {
      arguments.record = value;
    } else if (word == "--prefill") {
      std::from_chars(value.data(), value.data() + value.size(), arguments.prefill);
    } else {
      arguments.folder = word;
      --i;
    }
  }
  return arguments;
}

Status run(const Arguments& arguments) {
  const runner::CheckpointFiles files = GLM_TRY(runner::files_in(arguments.folder));
  const runner::ModelFacts facts = GLM_TRY(runner::inspect(files));
  const std::vector<std::int32_t> tokens = read_all<std::int32_t>(arguments.tokens);
  if (arguments.prefill < 1 || arguments.prefill > tokens.size()) {
    return make_error(Errc::invalid_argument, "{} of {} tokens at once", arguments.prefill,
                      tokens.size());
  }
  fakes::Routing routing{.layers = facts.config.layers - facts.config.dense_layers,
                         .tokens = static_cast<std::int64_t>(tokens.size()),
                         .chosen = facts.config.moe.experts_per_token,
                         .ids = {},
                         .would = {}};
  const bool impose = !arguments.impose.empty();
  if (impose) routing.ids = read_all<std::int32_t>(arguments.impose);
  const auto choices = static_cast<std::size_t>(routing.layers * routing.tokens * routing.chosen);
  if (impose && routing.ids.size() != choices) {
    return make_error(Errc::invalid_argument, "{} holds {} ids, wanted {}", arguments.impose,
                      routing.ids.size(), choices);
  }
  runner::LoadOptions options;
  options.device = arguments.device;
  options.kv_format = GLM_TRY(runner::parse_kv_cache_type(arguments.kv));
  if (impose || !arguments.record.empty()) {
    options.wrap_ops = [&](std::unique_ptr<kernels::Ops> ops) {
      return fakes::with_routing(std::move(ops), routing, impose);
    };
  }
  const auto model = GLM_TRY(runner::load_model(files, options));
  const auto length = static_cast<std::int64_t>(tokens.size());
  const auto pool = GLM_TRY(model->make_pool(runner::pages_of(length)));
  runner::KvCache cache(*pool);
  const auto vocab = static_cast<std::size_t>(facts.vocab_size);
  std::vector<float> all;
  std::vector<float> logits(vocab);
  for (std::size_t at = 0; at < tokens.size();) {
    const std::size_t count = at == 0 ? arguments.prefill : 1;
    GLM_TRY(runner::run_tokens(*model, cache, std::span(tokens).subspan(at, count), logits));
    all.insert(all.end(), logits.begin(), logits.end());
    at += count;
  }
  write_all(arguments.out, all);
  if (!arguments.record.empty()) write_all(arguments.record, impose ? routing.would : routing.ids);
  return Ok{};
}

}  // namespace
}  // namespace glm

int main(int count, char** words) {
  const glm::Status status = glm::run(glm::parse(count, words));
  if (status.ok()) return 0;
  fmt::print(stderr, "teacher_forced: {}\n", status.error().message);
  return 1;
}
