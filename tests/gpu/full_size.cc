// full_size FOLDER [--device cuda:0] [--contexts 1,4096,65536] [--generate 64] [--batch 1,8]
//           [--kv bf16|fp8] [--rates on|off]
//
// Lists of contexts and of batches are run in every combination.
//
// Loads a checkpoint of any size and generates from it at several lengths of context, greedily, and
// prints how fast: reading the files past and through the page cache, loading, prompt, decoding.
// Weights may be random: speed and memory are what this looks at.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "runner/models/registry.h"

namespace glm {
namespace {

using Seconds = std::chrono::duration<double>;

double seconds_since(std::chrono::steady_clock::time_point begun) {
  return Seconds(std::chrono::steady_clock::now() - begun).count();
}

// Bytes per second of eight threads that read the files one after the other.
double read_rate(const std::vector<std::filesystem::path>& files, int flags) {
  constexpr std::size_t kPieceBytes = 16U << 20U;
  constexpr int kThreads = 8;
  const auto begun = std::chrono::steady_clock::now();
  std::atomic<std::uint64_t> total = 0;
  for (const std::filesystem::path& path : files) {
    const Fd file(::open(path.c_str(), O_RDONLY | flags));
    if (!file) return 0;
    std::atomic<std::uint64_t> next = 0;
    const auto work = [&] {
      const std::unique_ptr<void, void (*)(void*)> memory(std::aligned_alloc(4096, kPieceBytes),
                                                          &std::free);
      while (true) {
        const std::uint64_t at = next.fetch_add(kPieceBytes);
        const ssize_t got = ::pread(file.get(), memory.get(), kPieceBytes, static_cast<off_t>(at));
        if (got <= 0) return;
        total += static_cast<std::uint64_t>(got);
      }
    };
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) threads.emplace_back(work);
  }
  return static_cast<double>(total) / seconds_since(begun);
}

struct Arguments {
  std::string folder, device = "cuda:0", kv = "bf16";
  std::vector<std::int64_t> contexts = {1, 4096, 65536};
  std::vector<std::int64_t> batches = {1};
  std::int64_t generate = 64;
  bool rates = true;  // of reading the files
};

std::int64_t number(std::string_view text) {
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::vector<std::int64_t> numbers(std::string_view text) {
  std::vector<std::int64_t> all;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    all.push_back(number(text.substr(0, comma)));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return all;
}

Arguments parse(int count, char** words) {
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    const std::string_view value = i + 1 < count ? words[i + 1] : "";
    if (!word.starts_with("--")) {
      arguments.folder = word;
      continue;
    }
    ++i;
    if (word == "--device") arguments.device = value;
    if (word == "--kv") arguments.kv = value;
    if (word == "--rates") arguments.rates = value != "off";
    if (word == "--generate") arguments.generate = number(value);
    if (word == "--batch") arguments.batches = numbers(value);
    if (word == "--contexts") arguments.contexts = numbers(value);
  }
  return arguments;
}

std::int32_t largest(std::span<const float> logits) {
  return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

Status generate(runner::Model& model, runner::KvPool& pool, std::int64_t generated,
                std::int64_t context, std::int64_t sequences) {
  const auto vocab = static_cast<std::size_t>(model.facts().vocab_size);
  const auto batch = static_cast<std::size_t>(sequences);
  std::vector<runner::KvCache> caches;
  std::vector<std::vector<std::int32_t>> next(batch);
  std::vector<float> logits(batch * vocab);
  std::uint32_t state = 12345;
  const auto prompt_begun = std::chrono::steady_clock::now();
  for (std::size_t s = 0; s < batch; ++s) {
    std::vector<std::int32_t> prompt;
    for (std::int64_t i = 0; i < context; ++i) {
      state = state * 1664525U + 1013904223U;
      prompt.push_back(static_cast<std::int32_t>((state >> 8U) % vocab));
    }
    caches.emplace_back(pool);
    const std::span<float> own = std::span(logits).subspan(s * vocab, vocab);
    GLM_TRY(runner::run_tokens(model, caches.back(), prompt, own));
    next[s] = {largest(own)};
  }
  const double prompt_s = seconds_since(prompt_begun);
  bool finite = true;
  const auto decode_begun = std::chrono::steady_clock::now();
  const runner::SamplingOptions greedy{.temperature = 0};
  // Each step is asked for before the tokens of the last one are known.
  for (std::int64_t i = 0; i <= generated; ++i) {
    if (i < generated) {
      std::vector<runner::SequenceStep> steps;
      for (std::size_t s = 0; s < batch; ++s) {
        GLM_TRY(caches[s].reserve(2));
        steps.push_back({.cache = &caches[s], .continues = i > 0, .sampling = &greedy});
        if (i == 0) steps.back().tokens = next[s];
      }
      GLM_TRY(model.submit(steps));
    }
    if (i == 0) continue;
    for (const runner::Sampled& sampled : GLM_TRY(model.collect())) {
      finite = finite && sampled.finite == 1;
    }
  }
  const double decode_s = seconds_since(decode_begun);
  if (!finite) return make_error(Errc::internal, "logits are not finite at context {}", context);
  fmt::print("context {:6} x {:2}: prompt {:9.0f} tok/s, decode {:8.1f} tok/s ({:.2f} ms a step)\n",
             context, batch, static_cast<double>(context * sequences) / prompt_s,
             static_cast<double>(generated * sequences) / decode_s,
             1e3 * decode_s / static_cast<double>(generated));
  std::fflush(stdout);
  return Ok{};
}

Status run(const Arguments& arguments) {
  const runner::CheckpointFiles files = GLM_TRY(runner::files_in(arguments.folder));
  std::vector<std::filesystem::path> shards;
  std::uint64_t bytes = 0;
  for (const auto& [name, path] : files) {
    if (!name.ends_with(".safetensors")) continue;
    shards.push_back(path);
    bytes += std::filesystem::file_size(path);
  }
  if (shards.empty()) {
    return make_error(Errc::not_found, "{}: no .safetensors file", arguments.folder);
  }
  const double size = static_cast<double>(bytes) * 1e-9;
  if (arguments.rates) {
    const double direct = read_rate({shards.front()}, O_DIRECT);
    (void)read_rate(shards, 0);
    const double cached = read_rate(shards, 0);
    fmt::print("{:.2f} GB in {} files: past the page cache {:.2f} GB/s, through it {:.2f} GB/s\n",
               size, shards.size(), direct * 1e-9, cached * 1e-9);
  }
  const auto begun = std::chrono::steady_clock::now();
  runner::LoadOptions options;
  options.device = arguments.device;
  options.kv_format = GLM_TRY(runner::parse_kv_cache_type(arguments.kv));
  runner::LoadTimes times;
  options.progress = [&](const runner::LoadProgress& progress) { times = progress.times; };
  const auto model = GLM_TRY(runner::load_model(files, options));
  const double load_s = seconds_since(begun);
  fmt::print(
      "loaded in {:.2f} s, {:.2f} GB/s; weights {:.2f} GB, {:.2f} GB free, {} kB of cache a "
      "token\n",
      load_s, size / load_s, static_cast<double>(model->weight_bytes()) * 1e-9,
      static_cast<double>(model->memory_free_bytes()) * 1e-9,
      model->facts().kv_bytes_per_token / 1000);
  fmt::print("the loading threads read and repacked for {:.2f} s and waited for uploads {:.2f} s\n",
             times.read_s, times.upload_s);
  std::fflush(stdout);
  const std::int64_t longest =
      *std::max_element(arguments.contexts.begin(), arguments.contexts.end()) + arguments.generate +
      1;
  const std::int64_t most = *std::max_element(arguments.batches.begin(), arguments.batches.end());
  const auto pool = GLM_TRY(model->make_pool(runner::pages_of(longest) * most));
  for (const std::int64_t context : arguments.contexts) {
    for (const std::int64_t batch : arguments.batches) {
      GLM_TRY(generate(*model, *pool, arguments.generate, context, batch));
    }
  }
  return Ok{};
}

}  // namespace
}  // namespace glm

int main(int count, char** words) {
  const glm::Status status = glm::run(glm::parse(count, words));
  if (status.ok()) return 0;
  fmt::print(stderr, "full_size: {}\n", status.error().message);
  return 1;
}
