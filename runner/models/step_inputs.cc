#include "runner/models/step_inputs.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "kernels/draw_settings.h"

namespace glm::runner {

using kernels::ConstTensorView;
using kernels::Dtype;
using kernels::Ops;
using kernels::SampleRow;

namespace {

constexpr std::int64_t kRowWords = sizeof(SampleRow) / sizeof(std::int32_t);
static_assert(sizeof(SampleRow) % sizeof(std::int32_t) == 0);

// The cell of the token that will follow, in a page the sequence has; else -1.
std::int32_t cell_behind(const KvCache& cache, std::int64_t positions) {
  const auto slot = static_cast<std::size_t>(positions / kPageTokens);
  if (slot >= cache.pages().size()) return -1;
  return static_cast<std::int32_t>(cache.pages()[slot] * kPageTokens + positions % kPageTokens);
}

SampleRow sample_row(const SamplingOptions& options, const Stretch& stretch, const KvCache& cache) {
  return {.seed = options.seed.value_or(0),
          .sequence = static_cast<std::int32_t>(stretch.sequence),
          .position = static_cast<std::int32_t>(stretch.positions - 1),
          .next_cell = cell_behind(cache, stretch.positions),
          .vocab_limit = options.vocab_limit,
          .temperature = options.temperature,
          .top_k = options.top_k,
          .top_p = options.top_p,
          .min_p = options.min_p,
          .repeat_penalty = options.repeat_penalty,
          .presence_penalty = options.presence_penalty,
          .frequency_penalty = options.frequency_penalty,
          .repeat_last_n = options.repeat_last_n,
          .bias_count = static_cast<std::int32_t>(options.logit_bias.size()),
          .logprobs = options.logprobs};
}

}  // namespace

// Appends words to the block.
class StepInputs::Writer {
 public:
  explicit Writer(std::span<std::byte> memory) : memory_(memory) {}

  std::int64_t words() const { return static_cast<std::int64_t>(used_ / sizeof(std::int32_t)); }
  std::span<const std::byte> written() const { return memory_.first(used_); }

  template <typename T>
  void put(const T& value) {
    static_assert(sizeof(T) % sizeof(std::int32_t) == 0);
    put(std::span(&value, 1));
  }
  template <typename T>
  void put(std::span<const T> values) {
    const std::size_t size_bytes = values.size_bytes();
    GLM_CHECK(size_bytes <= memory_.size() - used_);
    if (size_bytes > 0) std::memcpy(memory_.data() + used_, values.data(), size_bytes);
    used_ += size_bytes;
  }

 private:
  std::span<std::byte> memory_;
  std::size_t used_ = 0;
};

Result<StepInputs> StepInputs::allocate(Ops& ops, const BatchLimits& limits,
                                        std::int64_t context_max) {
  StepInputs inputs;
  inputs.table_width_max_ = pages_of(context_max);
  const auto biases_max = static_cast<std::int64_t>(kTokenBiasesMax);
  const std::int64_t capacity =
      3 * limits.tokens_max +
      limits.sequences_max * (kRowWords + 1 + inputs.table_width_max_ + 2 * biases_max);
  inputs.block_ = GLM_TRY(DeviceArray::allocate(ops, Dtype::i32, capacity));
  inputs.stretches_.reserve(static_cast<std::size_t>(limits.sequences_max));
  return inputs;
}

void StepInputs::upload(Ops& ops, std::span<std::byte> host, std::span<const SequenceStep> batch,
                        StepEnd end, const Padding& padding) {
  GLM_CHECK(padding.sequences == 0 || end == StepEnd::tokens);
  stretches_.clear();
  tokens_ = 0;
  for (const SequenceStep& step : batch) {
    const std::int64_t count = step.count();
    stretches_.push_back({.sequence = static_cast<std::int64_t>(stretches_.size()),
                          .first_token = tokens_,
                          .tokens = count,
                          .positions = step.cache->length() + count,
                          .one_by_one = step.one_by_one});
    tokens_ += count;
  }
  for (std::int64_t i = 0; i < padding.sequences; ++i) {
    stretches_.push_back({.sequence = static_cast<std::int64_t>(stretches_.size()),
                          .first_token = tokens_++,
                          .tokens = 1,
                          .positions = 1});
  }
  Writer writer(host);
  std::int32_t biases = 0;
  may_filter_ = false;
  may_look_ = false;
  for (std::size_t s = 0; end == StepEnd::tokens && s < batch.size(); ++s) {
    if (batch[s].sampling == nullptr) continue;
    SampleRow row = sample_row(*batch[s].sampling, stretches_[s], *batch[s].cache);
    row.bias_first = std::exchange(biases, biases + row.bias_count);
    may_filter_ = may_filter_ || kernels::draw::filters(row);
    may_look_ = may_look_ || kernels::draw::looks(row);
    writer.put(row);
  }
  for (std::int64_t i = 0; i < padding.sequences; ++i) writer.put(SampleRow{});
  write_tokens(writer, batch, padding);
  wanted_ = 0;
  wanted_first_ = writer.words();
  for (std::size_t s = 0; s < batch.size(); ++s) {
    if (!wants_end(batch[s], end)) continue;
    ++wanted_;
    writer.put(static_cast<std::int32_t>(stretches_[s].first_token + stretches_[s].tokens - 1));
  }
  for (std::int64_t i = 0; i < padding.sequences; ++i, ++wanted_) {
    writer.put(static_cast<std::int32_t>(tokens_ - padding.sequences + i));
  }
  write_table(writer, batch, padding);
  bias_first_ = writer.words();
  for (const SequenceStep& step : batch) {
    if (end != StepEnd::tokens || step.sampling == nullptr) continue;
    for (const TokenBias& bias : step.sampling->logit_bias) {
      writer.put(kernels::LogitBias{.id = bias.id, .bias = bias.bias});
    }
  }
  ops.upload_in_place(block_.view({block_.capacity()}).data, writer.written());
}

void StepInputs::write_tokens(Writer& writer, std::span<const SequenceStep> batch,
                              const Padding& padding) {
  given_ = writer.words();
  for (const SequenceStep& step : batch) {
    if (step.continues) {
      writer.put(std::int32_t{-1});
    } else {
      writer.put(step.tokens);
    }
  }
  for (std::int64_t i = 0; i < padding.sequences; ++i) writer.put(std::int32_t{0});
  for (const Stretch& stretch : stretches_) {
    for (std::int64_t t = 0; t < stretch.tokens; ++t) {
      writer.put(static_cast<std::int32_t>(stretch.sequence));
    }
  }
  for (const Stretch& stretch : stretches_) {
    for (std::int64_t p = stretch.positions - stretch.tokens; p < stretch.positions; ++p) {
      writer.put(static_cast<std::int32_t>(p));
    }
  }
}

void StepInputs::write_table(Writer& writer, std::span<const SequenceStep> batch,
                             const Padding& padding) {
  std::int64_t positions_max = 0;
  for (const Stretch& stretch : stretches_) {
    positions_max = std::max(positions_max, stretch.positions);
  }
  // Few different widths, so that whoever prepares launches by shape need not prepare many.
  const auto pages_max = static_cast<std::uint64_t>(pages_of(positions_max));
  table_width_ = std::min(static_cast<std::int64_t>(std::bit_ceil(pages_max)), table_width_max_);
  table_first_ = writer.words();
  for (const SequenceStep& step : batch) {
    const std::span<const std::int32_t> pages = step.cache->pages();
    const auto width = static_cast<std::size_t>(table_width_);
    const std::size_t known = std::min(pages.size(), width);
    writer.put(pages.first(known));
    for (std::size_t i = known; i < width; ++i) writer.put(std::int32_t{0});
  }
  for (std::int64_t i = 0; i < padding.sequences * table_width_; ++i) writer.put(padding.page);
}

kernels::StepTokens StepInputs::places() const {
  return {.sequence = words(given_ + tokens_, tokens_),
          .position = words(given_ + 2 * tokens_, tokens_),
          .positions_max = table_width_ * kPageTokens};
}

ConstTensorView StepInputs::table() const {
  const auto sequences = static_cast<std::int64_t>(stretches_.size());
  return {
      words(table_first_, sequences * table_width_).data, Dtype::i32, {sequences, table_width_}};
}

const SampleRow* StepInputs::sample_rows() const {
  return static_cast<const SampleRow*>(words(0, 0).data);
}

const kernels::LogitBias* StepInputs::biases() const {
  return static_cast<const kernels::LogitBias*>(words(bias_first_, 0).data);
}

}  // namespace glm::runner
