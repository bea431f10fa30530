#include "cmd/bench/kernel_bench.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/clock.h"
#include "cmd/bench/device.h"
#include "cmd/bench/device_clock.h"
#include "cmd/bench/kernel_cases.h"
#include "cmd/bench/row_plan.h"
#include "cmd/version.h"

namespace glm::bench {
namespace {

using Json = nlohmann::ordered_json;

// Runs of an operation one after the other, each with weights of its own: as many as a cache
// forgets meanwhile, as it does from one step of a model to the next.
constexpr std::int64_t kColdBytes = 512LL << 20U;
constexpr std::int64_t kRunsMax = 48;
constexpr std::int64_t kRunsOnCpu = 2;
constexpr int kRepetitions = 7;

constexpr std::int64_t kTokensMax = 512;

struct Ceilings {
  double read_bytes_per_s = 0;
  double flops_per_s = 0;
};

struct Measured {
  std::string name;
  std::int64_t tokens = 0;
  double seconds = 0;
  double bytes_per_s = 0;
  double flops_per_s = 0;
  double part_of_ceiling = 0;
};

std::int64_t runs_of(const KernelRow& row, const Device& device) {
  if (!device.gpu) return kRunsOnCpu;
  const std::int64_t one = std::max<std::int64_t>(row.bytes_of_one, 1);
  return std::clamp<std::int64_t>(kColdBytes / one, 1, kRunsMax);
}

Result<Measured> measure(kernels::Ops& ops, const Device& device, const Ceilings& ceilings,
                         KernelMemory& memory, const KernelRow& row, std::int64_t tokens) {
  memory.clear();
  std::vector<KernelCase> cases;
  for (std::int64_t i = 0; i < runs_of(row, device); ++i) {
    cases.push_back(row.make(memory, ops, tokens));
    GLM_TRY(memory.status());
  }
  DeviceClock clock = GLM_TRY(DeviceClock::make(ops));
  const double all_s = GLM_TRY(clock.median_seconds(kRepetitions, [&] {
    for (const KernelCase& one : cases) one.enqueue();
  }));
  const double seconds = all_s / static_cast<double>(cases.size());
  Measured measured{.name = row.name,
                    .tokens = tokens,
                    .seconds = seconds,
                    .bytes_per_s = cases.front().bytes / seconds,
                    .flops_per_s = cases.front().flops / seconds};
  measured.part_of_ceiling = std::max(measured.bytes_per_s / ceilings.read_bytes_per_s,
                                      measured.flops_per_s / ceilings.flops_per_s);
  return measured;
}

std::string line_of(const Measured& row) {
  return fmt::format("| {:<34} |{:>7} |{:>10.1f} |{:>7.4g} |{:>8.3g} |{:>10.1f} |\n", row.name,
                     row.tokens, row.seconds * 1e6, row.bytes_per_s * 1e-9, row.flops_per_s * 1e-12,
                     100 * row.part_of_ceiling);
}

std::string heading(const Device& device, const Ceilings& ceilings) {
  return fmt::format(
      "glm {} on {}: reads {:.0f} GB/s, multiplies {:.3g} TFLOP/s{}\n"
      "operations of GLM-4.7-Flash with weights as in cyankiwi/GLM-4.7-Flash-AWQ-4bit, one of many "
      "in a row, each with weights of its own\n\n"
      "| {:<34} |{:>7} |{:>10} |{:>7} |{:>8} |{:>10} |\n"
      "|-{:->34}-|{:->7}-|{:->10}-|{:->7}-|{:->8}-|{:->10}-|\n",
      kVersion, device.description, ceilings.read_bytes_per_s * 1e-9, ceilings.flops_per_s * 1e-12,
      device.gpu ? " (bf16, mma.sync)" : "", "operation", "tokens", "us", "GB/s", "TFLOP/s",
      "% ceiling", "", "", "", "", "", "");
}

Json json_of(const Measured& row, const Device& device, const Ceilings& ceilings) {
  return {{"date", rfc3339(system_clock().wall())},
          {"version", kVersion},
          {"device", device.product},
          {"operation", row.name},
          {"tokens", row.tokens},
          {"seconds", row.seconds},
          {"bytes_per_s", row.bytes_per_s},
          {"flops_per_s", row.flops_per_s},
          {"part_of_ceiling", row.part_of_ceiling},
          {"read_bytes_per_s", ceilings.read_bytes_per_s},
          {"multiply_flops_per_s", ceilings.flops_per_s}};
}

Result<std::vector<KernelRow>> rows_named(const std::string& part) {
  std::vector<KernelRow> rows = kernel_rows();
  std::string names;
  for (const KernelRow& row : rows) names += (names.empty() ? "" : ", ") + row.name;
  rows.erase(std::remove_if(
                 rows.begin(), rows.end(),
                 [&](const KernelRow& row) { return row.name.find(part) == std::string::npos; }),
             rows.end());
  if (!rows.empty()) return rows;
  return make_error(Errc::not_found, "--only '{}': no operation is called that; there are {}", part,
                    names);
}

}  // namespace

Status measure_kernels(const KernelOptions& options, Output& output) {
  const std::vector<KernelRow> rows = GLM_TRY(rows_named(options.only));
  std::vector<std::int64_t> tokens;
  if (!options.tokens.empty()) {
    tokens = GLM_TRY(number_list("--tokens", options.tokens, kTokensMax));
  }
  const Device device = GLM_TRY(find_device(options.device));
  if (tokens.empty())
    tokens = device.gpu ? std::vector<std::int64_t>{1, 8, 64, 512} : std::vector<std::int64_t>{1};
  const auto ops = GLM_TRY(open(device, static_cast<int>(options.threads)));
  const Ceilings ceilings{.read_bytes_per_s = GLM_TRY(measure_read_ceiling(*ops, device)),
                          .flops_per_s = GLM_TRY(measure_multiply_ceiling(*ops))};
  GLM_TRY(ops->reserve(kernel_bounds(*std::max_element(tokens.begin(), tokens.end()))));
  GLM_TRY(output.text(heading(device, ceilings)));
  KernelMemory memory(*ops);
  for (const KernelRow& row : rows) {
    for (const std::int64_t count : tokens) {
      if (count < row.tokens_min || count > row.tokens_max) continue;
      const Measured measured = GLM_TRY(measure(*ops, device, ceilings, memory, row, count)
                                            .with(fmt::format("{} of {} tokens", row.name, count)));
      GLM_TRY(output.row(line_of(measured), json_of(measured, device, ceilings)));
    }
  }
  return Ok{};
}

}  // namespace glm::bench
