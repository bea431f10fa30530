// Attention problems on the device, and what they should give: float64 on the host, from the same
// bf16 numbers.
//
// Pages lie in random order; whatever no token may look at is NaN, or garbage in the page table.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/cuda/attention.h"

namespace glm::kernels::cases {

using Bits = std::vector<std::uint16_t>;
constexpr std::uint16_t kNan = 0x7FC1;

inline void cuda_ok(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  (void)std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(code));
  std::abort();
}

// Device memory with these values.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) : count_(count) {
    cuda_ok(cudaMalloc(&data_, std::max<std::size_t>(count, 1) * sizeof(T)), "allocate");
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) { set(values); }
  DeviceArray(DeviceArray&& other) noexcept
      : count_(other.count_), data_(std::exchange(other.data_, nullptr)) {}
  DeviceArray& operator=(DeviceArray&&) = delete;
  ~DeviceArray() { (void)cudaFree(data_); }

  T* data() const { return static_cast<T*>(data_); }
  void set(const std::vector<T>& values) {
    cuda_ok(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
            "upload");
  }
  std::vector<T> get() const {
    std::vector<T> values(count_);
    cuda_ok(cudaDeviceSynchronize(), "run");
    cuda_ok(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost),
            "download");
    return values;
  }

 private:
  std::size_t count_;
  void* data_ = nullptr;
};

// What the operations need, its memory poisoned.
class Workspace {
 public:
  Workspace() {
    cuda_ok(cuda::describe_device(0, workspace), "describe device");
    const std::size_t floats =
        cuda::attention_workspace_bytes(workspace.multiprocessors) / sizeof(float);
    memory_ = std::make_unique<DeviceArray<float>>(
        std::vector<float>(floats, std::numeric_limits<float>::quiet_NaN()));
    workspace.partial = memory_->data();
  }
  cuda::AttentionWorkspace workspace;

 private:
  std::unique_ptr<DeviceArray<float>> memory_;
};

// GLM_TEST_SEED repeats a run.
inline unsigned seed() {
  static const unsigned value = [] {
    const char* given = std::getenv("GLM_TEST_SEED");  // NOLINT: one thread so far
    const unsigned chosen = given != nullptr
                                ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                                : std::random_device{}();
    (void)std::printf("seed %u\n", chosen);
    return chosen;
  }();
  return value;
}

inline Bits random_bits(std::mt19937& engine, std::int64_t count, float spread = 1.0F) {
  Bits values(static_cast<std::size_t>(count));
  for (std::uint16_t& value : values) {
    const float unit = static_cast<float>(engine() >> 8U) * 0x1p-23F - 1.0F;
    value = f32_to_bf16(unit * spread);
  }
  return values;
}

// Some consecutive tokens of one sequence.
struct Stretch {
  int first = 0;  // position
  int count = 0;
};

// Sequences in the cache and the tokens of a step: a stretch of each, in this order. With `latent`
// the pages are fp8 latents; the host's rows are then the values that the device should read.
class Cache {
 public:
  Cache(std::mt19937& engine, const std::vector<Stretch>& stretches, std::int64_t width,
        std::int64_t latent = 0)
      : width_(width), record_{.latent = latent, .rope = width - latent} {
    int longest = 0;
    int pages = 3;  // that nobody uses
    for (const Stretch& s : stretches) {
      longest = std::max(longest, s.first + s.count);
      pages += pages_of(s);
    }
    positions_max = longest;
    table_width_ = (longest + kPage - 1) / kPage + 2;
    std::vector<int> order(static_cast<std::size_t>(pages));
    for (int i = 0; i < pages; ++i) order[static_cast<std::size_t>(i)] = i;
    std::shuffle(order.begin(), order.end(), engine);
    page_bits.assign(static_cast<std::size_t>(pages * kPage * width), kNan);
    if (latent > 0) records.assign(static_cast<std::size_t>(pages * kPage * record_stride()), 0xFF);
    table.assign(stretches.size() * static_cast<std::size_t>(table_width_), 0x7FFFFFF0);
    std::size_t next = 0;
    for (std::size_t s = 0; s < stretches.size(); ++s) {
      for (int p = 0; p < pages_of(stretches[s]); ++p) {
        table[s * static_cast<std::size_t>(table_width_) + static_cast<std::size_t>(p)] =
            order[next++];
      }
      const int end = stretches[s].first + stretches[s].count;
      for (int p = 0; p < end; ++p) {
        set_row(static_cast<int>(s), p, random_bits(engine, width).data());
      }
      for (int t = 0; t < stretches[s].count; ++t) {
        sequence.push_back(static_cast<std::int32_t>(s));
        position.push_back(stretches[s].first + t);
      }
    }
    device_pages_.emplace_back(page_bits);
    device_records_.emplace_back(records);
    device_ints_.emplace_back(table);
    device_ints_.emplace_back(sequence);
    device_ints_.emplace_back(position);
  }

  // To the same addresses, after changes.
  void upload() {
    device_pages_[0].set(page_bits);
    device_records_[0].set(records);
    device_ints_[0].set(table);
    device_ints_[1].set(sequence);
    device_ints_[2].set(position);
  }
  std::uint16_t* row_of(int s, int p) { return page_bits.data() + place_of(s, p) * width_; }
  // What the backends should make of a row that is stored.
  void set_row(int s, int p, const std::uint16_t* bits) {
    std::uint16_t* row = row_of(s, p);
    std::copy_n(bits, width_, row);
    if (records.empty()) return;
    std::vector<float> values(static_cast<std::size_t>(width_));
    std::transform(row, row + width_, values.begin(), bf16_to_f32);
    std::uint8_t* record = records.data() + place_of(s, p) * record_stride();
    encode(record_, values.data(), record);
    decode(record_, record, width_, values.data());
    std::transform(values.begin(), values.end(), row, f32_to_bf16);
  }
  // A row of another cache, as it is there.
  void copy_row(int s, int p, Cache& from, int from_s, int from_p) {
    std::copy_n(from.row_of(from_s, from_p), width_, row_of(s, p));
    if (records.empty()) return;
    std::copy_n(from.records.data() + from.place_of(from_s, from_p) * record_stride(),
                record_.size_bytes(), records.data() + place_of(s, p) * record_stride());
  }
  std::int64_t tokens() const { return static_cast<std::int64_t>(sequence.size()); }
  PagedRows rows() {
    const auto pages = static_cast<std::int64_t>(page_bits.size()) / kPage / width_;
    PagedRows rows{
        .pages = {device_pages_[0].data(), Dtype::bf16, {pages, kPage, width_}},
        .table = {device_ints_[0].data(),
                  Dtype::i32,
                  {static_cast<std::int64_t>(table.size()) / table_width_, table_width_}}};
    if (!records.empty()) {
      rows.pages = {device_records_[0].data(), Dtype::u8, {pages, kPage, record_.size_bytes()}};
      rows.pages.strides = {kPage * record_stride(), record_stride(), 1};
      rows.fp8_latent = record_.latent;
    }
    return rows;
  }
  StepTokens step() const {
    return {.sequence = {device_ints_[1].data(), Dtype::i32, {tokens()}},
            .position = {device_ints_[2].data(), Dtype::i32, {tokens()}},
            .positions_max = positions_max};
  }
  const DeviceArray<std::uint16_t>& device_pages() const { return device_pages_[0]; }
  const DeviceArray<std::uint8_t>& device_records() const { return device_records_[0]; }

  std::int64_t positions_max = 0;
  Bits page_bits;
  std::vector<std::uint8_t> records;  // empty where pages are plain
  std::vector<std::int32_t> table;
  std::vector<std::int32_t> sequence;
  std::vector<std::int32_t> position;

 private:
  static constexpr int kPage = static_cast<int>(kPageTokens);
  static int pages_of(const Stretch& s) { return (s.first + s.count + kPage - 1) / kPage; }

  std::int64_t place_of(int s, int p) const {
    const int page = table[static_cast<std::size_t>(s * table_width_ + p / kPage)];
    return static_cast<std::int64_t>(page) * kPage + p % kPage;
  }
  std::int64_t record_stride() const { return record_.size_bytes() + 16; }

  std::int64_t width_;
  LatentRecord record_;
  int table_width_ = 0;
  std::vector<DeviceArray<std::uint16_t>> device_pages_;
  std::vector<DeviceArray<std::uint8_t>> device_records_;
  std::vector<DeviceArray<std::int32_t>> device_ints_;
};

// Keys and values of one head of one token, as the reference reads them.
struct HeadView {
  std::int64_t visible = 0;
  std::int64_t value_dim = 0;
  std::vector<float> q;
  std::function<const std::uint16_t*(std::int64_t)> key;
  std::function<const std::uint16_t*(std::int64_t)> key_tail = {};  // may be absent
  std::int64_t key_dim = 0;                                         // without the tail
  std::function<const std::uint16_t*(std::int64_t)> value;
};

inline std::vector<double> reference(const HeadView& head, float scale) {
  std::vector<double> scores(static_cast<std::size_t>(head.visible));
  double highest = -std::numeric_limits<double>::infinity();
  for (std::int64_t j = 0; j < head.visible; ++j) {
    double dot = 0;
    const std::uint16_t* key = head.key(j);
    for (std::int64_t c = 0; c < head.key_dim; ++c) {
      dot += static_cast<double>(head.q[static_cast<std::size_t>(c)]) * bf16_to_f32(key[c]);
    }
    if (head.key_tail) {
      const std::uint16_t* tail = head.key_tail(j);
      for (auto c = static_cast<std::size_t>(head.key_dim); c < head.q.size(); ++c) {
        dot += static_cast<double>(head.q[c]) *
               bf16_to_f32(tail[c - static_cast<std::size_t>(head.key_dim)]);
      }
    }
    scores[static_cast<std::size_t>(j)] = dot * static_cast<double>(scale);
    highest = std::max(highest, scores[static_cast<std::size_t>(j)]);
  }
  double total = 0;
  std::vector<double> out(static_cast<std::size_t>(head.value_dim));
  for (std::int64_t j = 0; j < head.visible; ++j) {
    const double weight = std::exp(scores[static_cast<std::size_t>(j)] - highest);
    total += weight;
    const std::uint16_t* value = head.value(j);
    for (std::size_t c = 0; c < out.size(); ++c) {
      out[c] += weight * static_cast<double>(bf16_to_f32(value[c]));
    }
  }
  for (double& value : out) value /= total;
  return out;
}

// Runs body(i) for all i on every core.
inline void for_all(std::int64_t count, const std::function<void(std::int64_t)>& body) {
  const unsigned threads = std::max(1U, std::thread::hardware_concurrency());
  std::vector<std::jthread> pool;
  for (unsigned n = 0; n < threads; ++n) {
    pool.emplace_back([&, n] {
      for (std::int64_t i = n; i < count; i += threads) body(i);
    });
  }
}

// ||got - want|| / ||want||; infinite if anything is NaN.
inline double relative_error(const Bits& got, const std::vector<double>& want) {
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double d = static_cast<double>(bf16_to_f32(got[i])) - want[i];
    difference += d * d;
    norm += want[i] * want[i];
  }
  const double error = std::sqrt(difference / norm);
  return std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
}

}  // namespace glm::kernels::cases
