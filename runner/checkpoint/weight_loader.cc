#include "runner/checkpoint/weight_loader.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <thread>

#include "base/check.h"
#include "runner/checkpoint/formats.h"

namespace glm::runner {
namespace {

using kernels::Dtype;
using kernels::WeightFormat;
using kernels::WeightLayout;
using kernels::WeightPart;

static_assert(std::endian::native == std::endian::little, "files are read as they lie in memory");

bool is_float(Dtype dtype) {
  return dtype == Dtype::bf16 || dtype == Dtype::f16 || dtype == Dtype::f32;
}

WeightFormat plain_format(Dtype dtype) {
  switch (dtype) {
    case Dtype::bf16:
      return WeightFormat::bf16;
    case Dtype::f16:
      return WeightFormat::f16;
    default:
      return WeightFormat::f32;
  }
}

void encode_plain(std::span<const float> values, WeightFormat format, std::span<std::byte> target) {
  if (format == WeightFormat::f32) {
    std::memcpy(target.data(), values.data(), target.size());
    return;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t bits = kernels::f32_to_bf16(values[i]);
    std::memcpy(target.data() + i * sizeof(bits), &bits, sizeof(bits));
  }
}

Status check_shape(const std::string& module, const StoredWeight& stored, WeightShape shape) {
  if (stored.layout.rows == shape.rows && stored.layout.cols == shape.cols) return Ok{};
  return make_error(Errc::corrupt, "module '{}': got a {} weight of [{}, {}], wanted [{}, {}]",
                    module, stored.label, stored.layout.rows, stored.layout.cols, shape.rows,
                    shape.cols);
}

// Calls body(0 .. count-1) on several threads; the error of the lowest index that failed.
template <typename Body>
Status on_threads(std::int64_t count, const Body& body) {
  constexpr std::int64_t kThreadsMax = 16;
  const auto cores = static_cast<std::int64_t>(std::thread::hardware_concurrency());
  const std::int64_t threads = std::clamp<std::int64_t>(std::min(cores, count), 1, kThreadsMax);
  std::atomic<std::int64_t> next = 0;
  std::atomic<bool> failed = false;
  std::vector<Status> results(static_cast<std::size_t>(count), Status(Ok{}));
  const auto work = [&] {
    for (std::int64_t i = next++; i < count && !failed; i = next++) {
      results[static_cast<std::size_t>(i)] = body(i);
      if (!results[static_cast<std::size_t>(i)].ok()) failed = true;
    }
  };
  std::vector<std::jthread> helpers;
  for (std::int64_t i = 1; i < threads; ++i) helpers.emplace_back(work);
  work();
  helpers.clear();
  for (Status& result : results) GLM_TRY(std::move(result));
  return Ok{};
}

}  // namespace

HostWeight HostWeight::allocate(const WeightLayout& layout, std::int64_t experts) {
  HostWeight weight{.layout = layout, .experts = experts, .parts = {}};
  for (const WeightPart part : kernels::kAllWeightParts) {
    weight.parts[static_cast<std::size_t>(part)] =
        HostBytes(static_cast<std::size_t>(layout.bytes(part) * experts));
  }
  return weight;
}

std::span<std::byte> HostWeight::part(WeightPart part, std::int64_t expert) {
  GLM_CHECK(expert >= 0 && expert < experts);
  const auto size = static_cast<std::size_t>(layout.bytes(part));
  return parts[static_cast<std::size_t>(part)].span().subspan(
      static_cast<std::size_t>(expert) * size, size);
}

kernels::WeightView HostWeight::view(std::int64_t expert) const {
  kernels::ExpertsView all{.layout = layout, .experts = experts, .parts = {}};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].empty()) all.parts[i] = parts[i].data();
  }
  return all.expert(expert);
}

WeightLoader::WeightLoader(const Checkpoint& checkpoint, const Quantization& quantization,
                           Progress progress, std::stop_token stop)
    : checkpoint_(checkpoint),
      quantization_(quantization),
      progress_(std::move(progress)),
      stop_(std::move(stop)),
      total_bytes_(checkpoint.size_bytes()) {}

Result<WeightLoader::Reading> WeightLoader::detect(const std::string& module,
                                                   WeightShape shape) const {
  Reading reading{
      .module = module, .scheme = quantization_.scheme_of(module), .stored = {}, .notes = {}};
  reading.stored = GLM_TRY(detect_format(
      {.checkpoint = checkpoint_, .module = module, .scheme = reading.scheme, .shape = shape}));
  GLM_TRY(check_shape(module, reading.stored, shape));
  return reading;
}

Status WeightLoader::read(Reading& reading, HostWeight& target, std::int64_t expert) const {
  WeightRead request{.checkpoint = checkpoint_,
                     .module = reading.module,
                     .scheme = reading.scheme,
                     .layout = reading.stored.layout,
                     .target = {},
                     .notes = &reading.notes};
  for (const WeightPart part : kernels::kAllWeightParts) {
    request.target[static_cast<std::size_t>(part)] = target.part(part, expert);
  }
  return read_weight(reading.stored, request);
}

// In a format of its own first, then as plain numbers where the others are.
Status WeightLoader::read_decoded(Reading& reading, HostWeight& target, std::int64_t expert) const {
  HostWeight own = HostWeight::allocate(reading.stored.layout);
  GLM_TRY(read(reading, own, 0));
  const WeightLayout& layout = target.layout;
  std::vector<float> values(static_cast<std::size_t>(layout.rows * layout.cols));
  kernels::decode_rows(own.view(), 0, layout.rows, values);
  encode_plain(values, layout.format, target.part(WeightPart::data, expert));
  return Ok{};
}

void WeightLoader::skip(std::string_view prefix) {
  for (const TensorInfo* tensor : checkpoint_.tensors()) {
    if (!tensor->name.starts_with(prefix) || !used_.insert(tensor).second) continue;
    total_bytes_ -= tensor->size_bytes;
  }
}

void WeightLoader::use(const TensorInfo& tensor) {
  if (!used_.insert(&tensor).second) return;
  completed_bytes_ += tensor.size_bytes;
  if (progress_) progress_(completed_bytes_, total_bytes_);
}

void WeightLoader::keep(std::vector<std::string> notes) {
  constexpr std::size_t kOdditiesKept = 8;
  for (std::string& note : notes) {
    if (oddities_.size() < kOdditiesKept) {
      oddities_.push_back(std::move(note));
    } else {
      ++oddities_more_;
    }
  }
}

Result<const TensorInfo*> WeightLoader::claim(const std::string& tensor,
                                              std::initializer_list<std::int64_t> shape) {
  if (stop_.stop_requested()) return make_error(Errc::cancelled, "loading was cancelled");
  const TensorInfo* found = checkpoint_.find(tensor);
  if (found == nullptr) {
    return make_error(Errc::corrupt, "tensor '{}' is missing from the checkpoint", tensor);
  }
  if (!is_float(found->dtype) ||
      !std::equal(found->shape.begin(), found->shape.end(), shape.begin(), shape.end())) {
    return make_error(Errc::corrupt, "tensor '{}': got {}, wanted bf16, f16 or f32 [{}]", tensor,
                      describe(*found), fmt::join(shape, ", "));
  }
  return found;
}

Status WeightLoader::claim_module(const std::string& module) {
  if (stop_.stop_requested()) return make_error(Errc::cancelled, "loading was cancelled");
  const std::string prefix = module + ".";
  const auto& tensors = checkpoint_.tensors();
  auto at = std::lower_bound(
      tensors.begin(), tensors.end(), prefix,
      [](const TensorInfo* tensor, const std::string& name) { return tensor->name < name; });
  if (at == tensors.end() || !(*at)->name.starts_with(prefix)) {
    return make_error(Errc::corrupt, "module '{}' is missing from the checkpoint", module);
  }
  // A bias is claimed by whoever adds it; one that nobody adds is worth a note.
  const std::string bias = prefix + "bias";
  for (; at != tensors.end() && (*at)->name.starts_with(prefix); ++at) {
    if ((*at)->name != bias) use(**at);
  }
  return Ok{};
}

Result<std::vector<float>> WeightLoader::floats(const std::string& tensor,
                                                std::initializer_list<std::int64_t> shape) {
  const TensorInfo* found = GLM_TRY(claim(tensor, shape));
  const std::vector<std::byte> bytes = GLM_TRY(checkpoint_.read_all(*found));
  std::vector<float> values(static_cast<std::size_t>(found->elements()));
  kernels::WeightView view{
      .layout = {.format = plain_format(found->dtype), .rows = 1, .cols = found->elements()}};
  view.data = bytes.data();
  if (!values.empty()) kernels::decode_rows(view, 0, 1, values);
  use(*found);
  return values;
}

Result<HostWeight> WeightLoader::weight(const std::string& module, WeightShape shape) {
  GLM_TRY(claim_module(module));
  Reading reading = GLM_TRY(detect(module, shape));
  HostWeight weight = HostWeight::allocate(reading.stored.layout);
  GLM_TRY(read(reading, weight, 0));
  keep(std::move(reading.notes));
  return weight;
}

Result<HostWeight> WeightLoader::experts(const std::string& prefix, const std::string& name,
                                         std::int64_t experts, WeightShape shape) {
  std::vector<Reading> readings;
  bool same = true;
  bool bf16 = true;
  for (std::int64_t e = 0; e < experts; ++e) {
    const std::string module = fmt::format("{}.{}.{}", prefix, e, name);
    GLM_TRY(claim_module(module));
    readings.push_back(GLM_TRY(detect(module, shape)));
    const WeightLayout& layout = readings.back().stored.layout;
    same = same && layout == readings.front().stored.layout;
    bf16 = bf16 && layout.exact_in_bf16();
  }
  WeightLayout layout{.format = bf16 ? WeightFormat::bf16 : WeightFormat::f32,
                      .rows = shape.rows,
                      .cols = shape.cols};
  if (same) layout = readings.front().stored.layout;
  HostWeight all = HostWeight::allocate(layout, experts);
  GLM_TRY(on_threads(experts, [&](std::int64_t e) {
    Reading& reading = readings[static_cast<std::size_t>(e)];
    return same ? read(reading, all, e) : read_decoded(reading, all, e);
  }));
  for (Reading& reading : readings) keep(std::move(reading.notes));
  return all;
}

Result<HostWeight> WeightLoader::fused_experts(const Fused& fused) {
  const TensorInfo* tensor =
      GLM_TRY(claim(fused.tensor, {fused.experts, fused.fused_rows, fused.shape.cols}));
  GLM_CHECK(fused.first_row >= 0 && fused.first_row + fused.shape.rows <= fused.fused_rows);
  HostWeight all = HostWeight::allocate(
      {.format = plain_format(tensor->dtype), .rows = fused.shape.rows, .cols = fused.shape.cols},
      fused.experts);
  const std::int64_t row_bytes = all.layout.data_row_bytes();
  for (std::int64_t e = 0; e < fused.experts; ++e) {
    const std::int64_t first = (e * fused.fused_rows + fused.first_row) * row_bytes;
    GLM_TRY(checkpoint_.read(*tensor, static_cast<std::uint64_t>(first),
                             all.part(WeightPart::data, e)));
  }
  use(*tensor);
  return all;
}

Result<bool> WeightLoader::same_bytes(const std::string& a, const std::string& b) const {
  const TensorInfo* first = checkpoint_.find(a);
  const TensorInfo* second = checkpoint_.find(b);
  if (first == nullptr || second == nullptr || first->dtype != second->dtype ||
      first->shape != second->shape) {
    return false;
  }
  constexpr std::uint64_t kPieceBytes = 1U << 20U;
  std::vector<std::byte> left(std::min(kPieceBytes, first->size_bytes));
  std::vector<std::byte> right(left.size());
  for (std::uint64_t at = 0; at < first->size_bytes; at += left.size()) {
    const auto count =
        static_cast<std::size_t>(std::min<std::uint64_t>(left.size(), first->size_bytes - at));
    GLM_TRY(checkpoint_.read(*first, at, std::span(left).first(count)));
    GLM_TRY(checkpoint_.read(*second, at, std::span(right).first(count)));
    if (!std::equal(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(count),
                    right.begin())) {
      return false;
    }
  }
  return true;
}

std::vector<std::string> WeightLoader::notes() const {
  std::vector<std::string> all = oddities_;
  if (oddities_more_ > 0) all.push_back(fmt::format("and {} more of the kind", oddities_more_));
  if (std::string unused = unused_note(); !unused.empty()) all.push_back(std::move(unused));
  return all;
}

std::string WeightLoader::unused_note() const {
  std::vector<std::string_view> names;
  for (const TensorInfo* tensor : checkpoint_.tensors()) {
    if (!used_.contains(tensor)) names.push_back(tensor->name);
  }
  if (names.empty()) return {};
  constexpr std::size_t kNamesShown = 3;
  const std::size_t shown = std::min(names.size(), kNamesShown);
  return fmt::format(
      "{} tensors of the checkpoint were not used: {}{}", names.size(),
      fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
      names.size() > shown ? ", ..." : "");
}

}  // namespace glm::runner
