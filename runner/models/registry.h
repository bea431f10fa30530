// Which architectures run, and the way from files to a loaded model.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kernels/ops.h"
#include "runner/checkpoint/checkpoint.h"
#include "runner/checkpoint/checkpoint_files.h"
#include "runner/checkpoint/model_facts.h"
#include "runner/checkpoint/weight_loader.h"
#include "runner/models/model.h"
#include "runner/plan/run_plan.h"

namespace glm::runner {

// Which way multi-head latent attention is computed; the results agree. For bisecting wrong
// answers.
enum class MlaForm { automatic, absorbed, expanded };

struct LoadOptions {
  std::string device = "cpu";            // or "cuda:0", "cuda:1", …
  std::optional<float> latent_norm_eps;  // see ModelFacts::latent_norm_eps
  int threads = 0;                       // of the CPU; 0: one per core
  MlaForm mla_form = MlaForm::automatic;
  kernels::KvFormat kv_format = kernels::KvFormat::plain;  // Errc::unsupported where it cannot be
  WeightLoader::Progress progress;                         // called on the loading thread
  std::stop_token stop;                                    // Errc::cancelled

  RunOverrides overrides;            // of the plan
  std::uint64_t promised_bytes = 0;  // of the host's memory, to others
  // Called when there is room for the model, before its weights come.
  std::function<void(const RunPlan&, const HardwareFacts&)> planned;

  // Stands between the model and its backend; for tests that look on or interfere.
  std::function<std::unique_ptr<kernels::Ops>(std::unique_ptr<kernels::Ops>)> wrap_ops;
};

// Errc::unsupported, corrupt and not_found as inspect(); Errc::exhausted when memory is short;
// Errc::invalid_argument for a device of no known kind, Errc::device where it cannot be used.
Result<std::unique_ptr<Model>> load_model(const CheckpointFiles& files, const LoadOptions& options);

// The same for a checkpoint that is open; `facts` are its own.
Result<std::unique_ptr<Model>> load_model(const Checkpoint& checkpoint, ModelFacts facts,
                                          const LoadOptions& options);

// The device that a model with these options would run on.
Result<std::unique_ptr<kernels::Ops>> open_device(const LoadOptions& options);

// "bf16" (plain: on the CPU pages are f32) or "fp8". Errc::invalid_argument.
Result<kernels::KvFormat> parse_kv_cache_type(std::string_view text);

// Errc::unsupported for fp8 where no latent is cached.
Status check_kv_format(const ModelFacts& facts, kernels::KvFormat format);

// "glm4_moe_lite", …
std::vector<std::string_view> supported_architectures();

}  // namespace glm::runner
