#include "cmd/api/plan_answer.h"

#include <utility>

#include "cmd/api/json_body.h"
#include "modelfiles/catalog_sizes.h"
#include "modelfiles/parameters.h"
#include "runner/plan/hardware_json.h"

namespace glm::api {
namespace {

Result<modelfiles::RunOptions> options_of(const modelfiles::Modelfile& modelfile) {
  OptionSet options(modelfiles::parameter_table());
  GLM_TRY(modelfiles::apply(modelfile, options));
  return modelfiles::run_options(options);
}

Result<kernels::KvFormat> kv_format_of(const modelfiles::RunOptions& options,
                                       const runner::ModelFacts& facts) {
  if (options.kv_cache_type != "fp8") return kernels::KvFormat::plain;
  if (facts.config.mla.kv_rank > 0) return kernels::KvFormat::fp8_latent;
  return make_error(Errc::unsupported,
                    "kv_cache_type fp8: it is for architectures that cache a latent, {} caches "
                    "keys and values; run it with bf16",
                    facts.architecture);
}

Json memory_json(const runner::MemorySplit& memory) {
  return {{"available_bytes", memory.available_bytes},
          {"weight_bytes", memory.weight_bytes},
          {"workspace_bytes", memory.workspace_bytes},
          {"graph_bytes", memory.graph_bytes},
          {"page_bytes", memory.page_bytes}};
}

}  // namespace

Result<std::optional<PlanRequest>> plan_request(const Json& body) {
  const Json* plan = find(body, "plan");
  if (plan == nullptr) return std::optional<PlanRequest>();
  if (!plan->is_object()) {
    return make_error(Errc::invalid_argument, "plan wants an object, got {}", kind(*plan));
  }
  const Json* hardware = find(*plan, "hardware");
  PlanRequest request;
  request.hardware =
      GLM_TRY(runner::hardware_from_json(hardware == nullptr ? Json() : *hardware).with("plan"));
  request.context_max = GLM_TRY(integer(*plan, "num_ctx").with("plan")).value_or(0);
  return std::optional(std::move(request));
}

Result<Json> plan_answer(const PlanRequest& request, const runner::ModelFacts& facts,
                         const modelfiles::Modelfile& modelfile, std::string_view repository) {
  if (facts.refusal) return *facts.refusal;
  const runner::HardwareFacts& hardware = request.hardware;
  runner::RunOverrides overrides{.context_max = request.context_max, .alternatives = {}};
  const modelfiles::RunOptions options = GLM_TRY(options_of(modelfile));
  if (overrides.context_max == 0) overrides.context_max = options.num_ctx.value_or(0);
  for (const modelfiles::CatalogSize& form : modelfiles::other_forms(repository)) {
    overrides.alternatives.push_back(
        {.name = std::string(form.name), .weight_bytes = form.weight_bytes});
  }
  const runner::Backend backend = hardware.is_gpu() ? runner::Backend::cuda : runner::Backend::cpu;
  const runner::ModelNeeds needs =
      runner::needs_of(facts, backend, GLM_TRY(kv_format_of(options, facts)));
  const runner::RunPlan plan = GLM_TRY(runner::plan(needs, hardware, overrides));
  Json answer = {{"device", plan.device},
                 {"hardware", hardware.name},
                 {"memory", memory_json(plan.memory)},
                 {"kv_format", plan.kv_format},
                 {"pages", plan.pages},
                 {"context_max", plan.context_max},
                 {"running_max", plan.running_max},
                 {"prompt_chunk_tokens", plan.prompt_chunk_tokens},
                 {"step_tokens_max", plan.step_tokens_max},
                 {"recorded_steps_max", plan.recorded_steps_max},
                 {"lines", Json::array()}};
  for (const runner::PlanLine& line : plan.lines) {
    answer["lines"].push_back(
        {{"name", line.name}, {"value", line.value}, {"reason", line.reason}});
  }
  return answer;
}

}  // namespace glm::api
