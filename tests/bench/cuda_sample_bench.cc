// Sampling over the vocabulary of a model: microseconds, bytes of one read of the logits, and the
// part of this device's read rate that they come to.
#include <cstdio>
#include <string>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/workspace.h"
#include "kernels/draw_settings.h"
#include "tests/bench/device_ceilings.h"
#include "tests/kernels/cuda_attention_cases.h"

namespace glm::kernels {
namespace {

using namespace cases;  // NOLINT: they belong to this program

constexpr std::int64_t kVocab = 154'880;

void run() {
  const double read = bench::measured_read_bytes_per_s();
  std::printf("read ceiling %.0f GB/s\n", read * 1e-9);
  std::printf("%-40s %5s %10s %9s %8s\n", "sample, vocabulary 154880", "rows", "us", "GB/s",
              "% read");
  struct Setting {
    const char* name;
    SampleRow row;
  };
  const Setting settings[] = {
      {"greedy", {}},
      {"temperature", {.temperature = 1}},
      {"temperature, penalties over 64",
       {.temperature = 1, .repeat_penalty = 1.1F, .repeat_last_n = 64}},
      {"temperature, penalties over all 65536",
       {.temperature = 1, .repeat_penalty = 1.1F, .repeat_last_n = -1}},
      {"temperature, top_k 40", {.temperature = 1, .top_k = 40}},
      {"temperature, top_p 0.95", {.temperature = 1, .top_p = 0.95F}},
      {"temperature 0.7, top_k 40, top_p, min_p",
       {.temperature = 0.7F, .top_k = 40, .top_p = 0.9F, .min_p = 0.05F}},
      {"all of them, penalties over 64",
       {.temperature = 0.7F,
        .top_k = 40,
        .top_p = 0.9F,
        .min_p = 0.05F,
        .repeat_penalty = 1.1F,
        .repeat_last_n = 64}},
      {"greedy, 20 logprobs", {.logprobs = 20}},
  };
  std::mt19937 engine(7);
  std::normal_distribution<float> bell(0.0F, 3.0F);
  constexpr std::int32_t kPosition = 65535;
  const std::int64_t pages = (kPosition + 1) / kPageTokens;
  std::vector<std::int32_t> ids(static_cast<std::size_t>(kPosition + 1));
  for (std::int32_t& id : ids) id = static_cast<std::int32_t>(engine() % kVocab);
  bench::Timer timer;
  for (const std::int64_t rows : {1, 8, 64}) {
    std::vector<float> logits(static_cast<std::size_t>(rows * kVocab));
    for (float& logit : logits) logit = bell(engine);
    std::vector<std::int32_t> table;
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int32_t page = 0; page < pages; ++page) table.push_back(page);
    }
    const DeviceArray<float> device_logits(logits);
    const DeviceArray<std::int32_t> device_ids(ids);
    const DeviceArray<std::int32_t> device_table(table);
    const DeviceArray<std::uint8_t> out(static_cast<std::size_t>(rows) * sizeof(SampledRow));
    const WorkspaceBounds bounds{.rows = rows, .vocab = kVocab};
    const std::uint64_t space_bytes = cuda::Workspace::size_bytes(bounds);
    const DeviceArray<std::uint8_t> space(space_bytes);
    const cuda::Workspace workspace(bounds, Buffer(space.data(), space_bytes, [](void*) {}));
    for (const Setting& setting : settings) {
      std::vector<std::uint8_t> bytes(static_cast<std::size_t>(rows) * sizeof(SampleRow));
      for (std::int64_t r = 0; r < rows; ++r) {
        SampleRow row = setting.row;
        row.sequence = static_cast<std::int32_t>(r);
        row.position = kPosition;
        row.seed = static_cast<std::uint64_t>(r);
        std::memcpy(bytes.data() + static_cast<std::size_t>(r) * sizeof row, &row, sizeof row);
      }
      const DeviceArray<std::uint8_t> device_rows(bytes);
      const Sample args{.out = reinterpret_cast<SampledRow*>(out.data()),
                        .logits = {device_logits.data(), Dtype::f32, {rows, kVocab}},
                        .rows = reinterpret_cast<const SampleRow*>(device_rows.data()),
                        .history = {.pages = {device_ids.data(), Dtype::i32, {pages, kPageTokens}},
                                    .table = {device_table.data(), Dtype::i32, {rows, pages}}},
                        .may_filter = draw::filters(setting.row)};
      check(args);
      const double seconds = timer.median(
          15, [&] { cuda_ok(cuda::launch_sample(args, workspace.sample(), nullptr), "sample"); });
      const double rate = static_cast<double>(rows * kVocab) * 4 / seconds;
      std::printf("%-40s %5lld %10.1f %9.0f %7.1f%%\n", setting.name, static_cast<long long>(rows),
                  seconds * 1e6, rate * 1e-9, 100 * rate / read);
    }
  }
}

}  // namespace
}  // namespace glm::kernels

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("no GPU\n");
    return 0;
  }
  glm::kernels::run();
  return 0;
}
