#include "runner/checkpoint/weight_loader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>

#include "base/check.h"
#include "runner/checkpoint/formats.h"
#include "runner/checkpoint/narrowed.h"

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

}  // namespace

WeightLoader::WeightLoader(const Checkpoint& checkpoint, const Quantization& quantization,
                           kernels::Ops& ops, Progress progress, std::stop_token stop)
    : checkpoint_(checkpoint),
      quantization_(quantization),
      ops_(ops),
      progress_(std::move(progress)),
      stop_(std::move(stop)),
      total_bytes_(checkpoint.size_bytes()),
      queue_(ops, stop_) {}

Status WeightLoader::read(Reading& reading, const WeightMemory& memory) const {
  return read_weight(reading.stored, {.checkpoint = checkpoint_,
                                      .module = reading.module,
                                      .scheme = reading.scheme,
                                      .layout = reading.stored.layout,
                                      .target = memory,
                                      .notes = &reading.notes});
}

// In a format of its own first, then as plain numbers where the others are.
Status WeightLoader::read_decoded(Reading& reading, WeightFormat format,
                                  const WeightMemory& memory) const {
  const WeightLayout& layout = reading.stored.layout;
  const std::unique_ptr<std::byte[]> bytes(
      new std::byte[static_cast<std::size_t>(layout.total_bytes())]);
  std::byte* next = bytes.get();
  WeightMemory own;
  kernels::WeightParts<const void*> parts = {};
  for (const WeightPart part : kernels::kAllWeightParts) {
    const auto size = static_cast<std::size_t>(layout.bytes(part));
    if (size == 0) continue;
    own[static_cast<std::size_t>(part)] = {next, size};
    parts[static_cast<std::size_t>(part)] = next;
    next += size;
  }
  GLM_TRY(read(reading, own));
  std::vector<float> values(static_cast<std::size_t>(layout.rows * layout.cols));
  kernels::decode_rows(kernels::view_of(layout, parts), 0, layout.rows, values);
  encode_plain(values, format, memory[static_cast<std::size_t>(WeightPart::data)]);
  return Ok{};
}

void WeightLoader::skip(std::string_view prefix) {
  for (const TensorInfo* tensor : checkpoint_.tensors()) {
    if (!tensor->name.starts_with(prefix) || !used_.insert(tensor).second) continue;
    total_bytes_ -= tensor->size_bytes;
  }
}

// Its bytes, the first time.
std::uint64_t WeightLoader::use(const TensorInfo& tensor) {
  return used_.insert(&tensor).second ? tensor.size_bytes : 0;
}

// In steps that somebody may watch.
void WeightLoader::report(const LoadQueue::Done& done) {
  constexpr std::uint64_t kSteps = 256;
  const std::uint64_t completed = completed_bytes_ + done.file_bytes;
  if (!progress_ || completed - reported_bytes_ < total_bytes_ / kSteps) return;
  reported_bytes_ = completed;
  progress_({.completed_bytes = completed, .total_bytes = total_bytes_, .times = done.times});
}

Status WeightLoader::finish() {
  const Status finished = queue_.wait([this](const LoadQueue::Done& done) { report(done); });
  if (finished.ok()) {
    reported_bytes_ = 0;
    report(queue_.done());
  }
  if (stop_.stop_requested()) return make_error(Errc::cancelled, "loading was cancelled");
  return finished;
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

Result<WeightLoader::Reading*> WeightLoader::claim_module(const std::string& module,
                                                          WeightShape shape) {
  if (stop_.stop_requested()) return make_error(Errc::cancelled, "loading was cancelled");
  report(queue_.done());
  const std::string prefix = module + ".";
  const auto& tensors = checkpoint_.tensors();
  auto at = std::lower_bound(
      tensors.begin(), tensors.end(), prefix,
      [](const TensorInfo* tensor, const std::string& name) { return tensor->name < name; });
  if (at == tensors.end() || !(*at)->name.starts_with(prefix)) {
    return make_error(Errc::corrupt, "module '{}' is missing from the checkpoint", module);
  }
  Reading reading{.module = module,
                  .scheme = quantization_.scheme_of(module),
                  .stored = {},
                  .file_bytes = 0,
                  .notes = {}};
  // A bias is claimed by whoever adds it; one that nobody adds is worth a note.
  const std::string bias = prefix + "bias";
  for (; at != tensors.end() && (*at)->name.starts_with(prefix); ++at) {
    if ((*at)->name != bias) reading.file_bytes += use(**at);
  }
  reading.stored = GLM_TRY(detect_format(
      {.checkpoint = checkpoint_, .module = module, .scheme = reading.scheme, .shape = shape}));
  GLM_TRY(check_shape(module, reading.stored, shape));
  readings_.push_back(std::move(reading));
  return &readings_.back();
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
  completed_bytes_ += use(*found);
  return values;
}

WeightLayout WeightLoader::in_memory(const WeightLayout& stored) const {
  return narrowed(stored, ops_.activation_dtype());
}

void WeightLoader::fetch(Reading& reading, const DeviceWeight& weight, std::int64_t expert) {
  if (reading.stored.plain != nullptr) {
    completed_bytes_ += reading.file_bytes - reading.stored.plain->size_bytes;
    copy({.tensor = reading.stored.plain, .first_byte = 0, .weight = weight, .expert = expert});
    return;
  }
  queue_.add(
      {.file_bytes = reading.file_bytes, .run = [this, &reading, weight, expert](LoadLane& lane) {
         return lane.fill(weight.parts(expert),
                          [&](const WeightMemory& memory) { return read(reading, memory); });
       }});
}

// In pieces that fit into a lane, for several threads.
void WeightLoader::copy(const Copy& copy) {
  const std::size_t size = copy.weight.parts(copy.expert)[0].size();
  for (std::size_t at = 0; at < size; at += LoadLane::kMemoryBytes) {
    const std::size_t count = std::min<std::size_t>(size - at, LoadLane::kMemoryBytes);
    queue_.add({.file_bytes = count, .run = [this, copy, at, count](LoadLane& lane) {
                  const WeightMemory all = copy.weight.parts(copy.expert);
                  const WeightMemory target = {all[0].subspan(at, count)};
                  return lane.fill(target, [&](const WeightMemory& memory) -> Status {
                    GLM_TRY(checkpoint_.read(*copy.tensor, copy.first_byte + at, memory[0]));
                    const bool wide = copy.tensor->dtype == Dtype::f16;
                    if (wide && copy.weight.layout().format == WeightFormat::bf16) {
                      narrow(memory[0]);
                    }
                    return Ok{};
                  });
                }});
  }
}

Result<DeviceWeight> WeightLoader::weight(const std::string& module, WeightShape shape) {
  Reading* reading = GLM_TRY(claim_module(module, shape));
  DeviceWeight weight = GLM_TRY(DeviceWeight::allocate(ops_, in_memory(reading->stored.layout)));
  fetch(*reading, weight, 0);
  return weight;
}

Result<std::vector<DeviceWeight>> WeightLoader::stacked(std::initializer_list<Stacked> modules,
                                                        std::int64_t cols) {
  std::vector<Reading*> readings;
  for (const Stacked& each : modules) {
    readings.push_back(GLM_TRY(claim_module(each.module, {each.rows, cols})));
  }
  WeightLayout all = readings.front()->stored.layout;
  bool alike = true;
  std::int64_t rows = 0;
  for (const Reading* reading : readings) {
    const WeightLayout& own = reading->stored.layout;
    all.rows = own.rows;
    alike = alike && own == all && rows % own.row_block == 0 && own.stacks();
    rows += own.rows;
  }
  all.rows = rows;
  std::vector<DeviceWeight> weights;
  if (alike) weights.push_back(GLM_TRY(DeviceWeight::allocate(ops_, in_memory(all))));
  rows = 0;
  for (Reading* reading : readings) {
    const WeightLayout& own = reading->stored.layout;
    if (!alike) weights.push_back(GLM_TRY(DeviceWeight::allocate(ops_, in_memory(own))));
    fetch(*reading, alike ? weights.front().rows(rows, own.rows) : weights.back(), 0);
    rows += own.rows;
  }
  return weights;
}

Result<DeviceWeight> WeightLoader::experts(const std::string& prefix, const std::string& name,
                                           std::int64_t experts, WeightShape shape) {
  std::vector<Reading*> readings;
  bool same = true;
  bool bf16 = true;
  for (std::int64_t e = 0; e < experts; ++e) {
    readings.push_back(GLM_TRY(claim_module(fmt::format("{}.{}.{}", prefix, e, name), shape)));
    const WeightLayout& layout = readings.back()->stored.layout;
    same = same && layout == readings.front()->stored.layout;
    bf16 = bf16 && layout.exact_in_bf16();
  }
  WeightLayout layout{.format = bf16 ? WeightFormat::bf16 : WeightFormat::f32,
                      .rows = shape.rows,
                      .cols = shape.cols};
  if (same) layout = in_memory(readings.front()->stored.layout);
  DeviceWeight all = GLM_TRY(DeviceWeight::allocate(ops_, layout, experts));
  for (std::int64_t e = 0; e < experts; ++e) {
    Reading& reading = *readings[static_cast<std::size_t>(e)];
    if (same) {
      fetch(reading, all, e);
      continue;
    }
    queue_.add({.file_bytes = reading.file_bytes, .run = [this, &reading, all, e](LoadLane& lane) {
                  return lane.fill(all.parts(e), [&](const WeightMemory& memory) {
                    return read_decoded(reading, all.layout().format, memory);
                  });
                }});
  }
  return all;
}

Result<DeviceWeight> WeightLoader::fused_experts(const Fused& fused) {
  const TensorInfo* tensor =
      GLM_TRY(claim(fused.tensor, {fused.experts, fused.fused_rows, fused.shape.cols}));
  GLM_CHECK(fused.first_row >= 0 && fused.first_row + fused.shape.rows <= fused.fused_rows);
  const WeightLayout layout = in_memory(
      {.format = plain_format(tensor->dtype), .rows = fused.shape.rows, .cols = fused.shape.cols});
  DeviceWeight all = GLM_TRY(DeviceWeight::allocate(ops_, layout, fused.experts));
  for (std::int64_t e = 0; e < fused.experts; ++e) {
    const std::int64_t first = (e * fused.fused_rows + fused.first_row) * layout.data_row_bytes();
    copy({.tensor = tensor,
          .first_byte = static_cast<std::uint64_t>(first),
          .weight = all,
          .expert = e});
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
  constexpr std::size_t kOdditiesShown = 8;
  std::vector<std::string> all;
  std::size_t more = 0;
  for (const Reading& reading : readings_) {
    for (const std::string& note : reading.notes) {
      if (all.size() < kOdditiesShown) {
        all.push_back(note);
      } else {
        ++more;
      }
    }
  }
  if (more > 0) all.push_back(fmt::format("and {} more of the kind", more));
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
