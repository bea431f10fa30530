#include "cmd/cli/bench_options.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <system_error>

#include "cmd/cli/terminal.h"

namespace glm::bench {
namespace {

constexpr std::int64_t kConcurrencyMax = 4096;
constexpr std::int64_t kTokensMax = 1 << 20;
constexpr std::int64_t kRequestsMax = 1'000'000;
constexpr std::int64_t kRequestsMin = 64;  // unless they are told; p99 wants many
constexpr std::int64_t kRequestsPerStream = 10;
constexpr std::int64_t kVocabSizeMax = 1 << 24;
constexpr std::size_t kLevelsMax = 64;
constexpr std::uint64_t kBodiesBytesMax = 4ull << 30;  // all of a level's are made before it begins

// What people copy: with or without scheme, "/", "/v1".
Result<HostAddress> server_address(std::string_view url) {
  std::string_view rest = url;
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.ends_with("/v1")) rest.remove_suffix(3);
  HostAddress address = GLM_TRY(HostAddress::parse(rest).with("--serve"));
  if (!address.tls) return address;
  return make_error(Errc::unsupported,
                    "--serve {}: the load generator speaks plain HTTP only, since TLS would be "
                    "measured with the server; name its http:// address, or forward a port to it",
                    url);
}

Result<std::vector<std::int64_t>> concurrency_levels(const std::string& text) {
  std::vector<std::int64_t> levels;
  std::string_view rest = text;
  while (true) {
    const std::string_view item = rest.substr(0, rest.find(','));
    std::int64_t level = 0;
    const auto [stop, failure] = std::from_chars(item.data(), item.data() + item.size(), level);
    if (failure != std::errc() || stop != item.data() + item.size() || level < 1 ||
        level > kConcurrencyMax || levels.size() == kLevelsMax) {
      return make_error(Errc::invalid_argument,
                        "--concurrency wants up to {} numbers from 1 to {} with commas between "
                        "them, such as 1,8,64; got '{}'",
                        kLevelsMax, kConcurrencyMax, text);
    }
    levels.push_back(level);
    if (item.size() == rest.size()) return levels;
    rest.remove_prefix(item.size() + 1);
  }
}

Status check_range(std::string_view flag, std::int64_t value, std::int64_t min, std::int64_t max) {
  if (value >= min && value <= max) return Ok{};
  return make_error(Errc::invalid_argument, "{} wants {} to {}, got {}", flag, min, max, value);
}

Status check_numbers(const Options& options) {
  GLM_TRY(check_range("--input-len", options.input_len, 1, kTokensMax));
  GLM_TRY(check_range("--output-len", options.output_len, 1, kTokensMax));
  GLM_TRY(check_range("--num-prompts", options.num_prompts.value_or(1), 1, kRequestsMax));
  GLM_TRY(check_range("--prompts-per-stream", options.per_stream.value_or(1), 1, kRequestsMax));
  if (options.num_prompts && options.per_stream) {
    return make_error(Errc::invalid_argument,
                      "--num-prompts and --prompts-per-stream both say how many; give one");
  }
  GLM_TRY(check_range("--num-warmups", options.num_warmups, -1, kRequestsMax));
  GLM_TRY(check_range("--vocab-size", options.vocab_size, 0, kVocabSizeMax));
  if (options.temperature >= 0 && options.temperature <= 2) return Ok{};
  return make_error(Errc::invalid_argument, "--temperature wants 0 to 2, got {}",
                    options.temperature);
}

Status check_key(const std::string& key) {
  if (std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c <= '~'; })) return Ok{};
  return make_error(Errc::invalid_argument,
                    "--api-key has characters that an HTTP header cannot carry");
}

Level level_of(const Options& options, std::int64_t concurrency) {
  std::int64_t requests = std::max(kRequestsMin, kRequestsPerStream * concurrency);
  if (options.per_stream) requests = *options.per_stream * concurrency;
  if (options.num_prompts) requests = *options.num_prompts;
  const std::int64_t warmups = options.num_warmups >= 0 ? options.num_warmups : concurrency;
  return {.concurrency = static_cast<std::size_t>(concurrency),
          .warmups = static_cast<std::size_t>(warmups),
          .requests = static_cast<std::size_t>(requests)};
}

Status check_memory(const Options& options, const Level& level) {
  const std::size_t requests = std::max(level.requests, level.warmups);
  const std::uint64_t bytes = requests * (static_cast<std::uint64_t>(options.input_len) * 8 + 512);
  if (bytes <= kBodiesBytesMax) return Ok{};
  return make_error(Errc::exhausted,
                    "{} prompts of {} tokens take some {} GB of memory before they are sent, {} "
                    "are taken at most; ask for fewer with --num-prompts",
                    requests, options.input_len, bytes >> 30, kBodiesBytesMax >> 30);
}

}  // namespace

Result<Plan> plan(const Options& options) {
  Plan plan;
  GLM_TRY(check_utf8(options.model, "the model's name"));
  GLM_TRY(check_key(options.api_key));
  GLM_TRY(check_numbers(options));
  if (options.dataset != "random") {
    return make_error(Errc::unsupported, "--dataset '{}' is not there; only 'random' is",
                      options.dataset);
  }
  if (options.prompts != "ids" && options.prompts != "words") {
    return make_error(Errc::invalid_argument, "--prompts wants ids or words, got '{}'",
                      options.prompts);
  }
  plan.target.address = GLM_TRY(server_address(options.url));
  plan.target.api_key = options.api_key;
  for (const std::int64_t concurrency : GLM_TRY(concurrency_levels(options.concurrency))) {
    plan.levels.push_back(level_of(options, concurrency));
    GLM_TRY(check_memory(options, plan.levels.back()));
  }
  using Prompts = Workload::Prompts;
  plan.workload = {.model = options.model,
                   .prompts = options.prompts == "ids" ? Prompts::ids : Prompts::words,
                   .input_len = options.input_len,
                   .output_len = options.output_len,
                   .vocab_size = options.vocab_size,
                   .temperature = options.temperature};
  return plan;
}

}  // namespace glm::bench
