#include "runner/plan/run_plan.h"

#include <algorithm>
#include <limits>

#include "base/units.h"
#include "runner/plan/no_room.h"
#include "runner/schedule/batch_limits.h"
#include "runner/schedule/kv_blocks.h"

namespace glm::runner {
namespace {

// Kernels are loaded when they first run, and recorded steps take memory of the driver's.
constexpr std::uint64_t kGraphBytes = 512U << 20U;

// Less context than this is of no use to anybody who did not ask for it.
constexpr std::int64_t kContextLeast = 1024;

// Where nobody knows how much memory there is: requests that may have the whole context each.
constexpr std::int64_t kBlindRequests = 8;

constexpr std::int64_t kPagesMax = std::numeric_limits<std::int32_t>::max();

std::uint64_t less(std::uint64_t from, std::uint64_t what) {
  return from - std::min(from, what);
}

// All that this model may have, what it has already included.
std::uint64_t available_to(const ModelNeeds& model, const HardwareFacts& hardware) {
  const std::uint64_t held = model.loaded ? model.weight_bytes + model.workspace_bytes : 0;
  const std::uint64_t available = hardware.memory_free_bytes + held;
  if (hardware.memory != MemoryKind::unified) return available;
  return std::min(available, hardware.memory_total_bytes / 2);
}

// How many requests may run where the pages are no bound.
constexpr std::int64_t running_max(const BatchLimits& batch) {
  return std::min(batch.sequences_max, batch.tokens_max - kPromptChunkTokens);
}

class Planner {
 public:
  Planner(const ModelNeeds& model, const HardwareFacts& hardware, const RunOverrides& overrides)
      : model_(model),
        hardware_(hardware),
        batch_limits_(batch_limits_of(hardware.is_gpu())),
        overrides_(overrides),
        wanted_(overrides.context_max > 0 ? std::min(overrides.context_max, model.context_own)
                                          : model.context_own),
        known_(hardware.memory_total_bytes > 0 && model.page_bytes > 0) {}

  Result<RunPlan> make() {
    GLM_TRY(split());
    batch();
    explain();
    return std::move(plan_);
  }

 private:
  Status split();
  void batch();
  void explain();
  void explain_memory();
  void line(std::string name, std::string value, std::string reason) {
    plan_.lines.push_back({std::move(name), std::move(value), std::move(reason)});
  }

  const ModelNeeds& model_;
  const HardwareFacts& hardware_;
  const BatchLimits batch_limits_;
  const RunOverrides& overrides_;
  const std::int64_t wanted_;  // tokens
  const bool known_;           // how much memory there is
  std::int64_t affordable_ = 0;
  RunPlan plan_;
};

Status Planner::split() {
  MemorySplit& memory = plan_.memory;
  memory.weight_bytes = model_.weight_bytes;
  memory.workspace_bytes = model_.workspace_bytes;
  affordable_ = std::min(pages_of(wanted_) * kBlindRequests, kPagesMax);
  plan_.context_max = wanted_;
  if (!known_) return Ok{};
  memory.available_bytes = available_to(model_, hardware_);
  memory.graph_bytes = hardware_.is_gpu() ? kGraphBytes + hardware_.unopened_bytes : 0;
  const std::uint64_t fixed = memory.weight_bytes + memory.workspace_bytes + memory.graph_bytes;
  std::uint64_t rest = less(memory.available_bytes, fixed);
  if (!hardware_.is_gpu()) rest /= 2;
  affordable_ = static_cast<std::int64_t>(
      std::min<std::uint64_t>(rest / model_.page_bytes, static_cast<std::uint64_t>(kPagesMax)));
  const bool asked = overrides_.context_max > 0;
  const std::int64_t least = asked ? wanted_ : std::min(kContextLeast, wanted_);
  const std::int64_t fits = std::min(affordable_ * kPageTokens, wanted_);
  if (fits < least || affordable_ == 0) {
    return no_room(model_, hardware_,
                   {.graph_bytes = memory.graph_bytes,
                    .available_bytes = memory.available_bytes,
                    .context = least,
                    .context_fits = fits >= std::min(kContextLeast, wanted_) ? fits : 0},
                   overrides_);
  }
  plan_.context_max = fits;
  return Ok{};
}

void Planner::batch() {
  plan_.device = hardware_.device;
  plan_.kv_format = model_.kv_format;
  // No more than all that run at once could ever fill.
  plan_.pages =
      std::min({affordable_, pages_of(plan_.context_max) * running_max(batch_limits_), kPagesMax});
  plan_.memory.page_bytes = static_cast<std::uint64_t>(plan_.pages) * model_.page_bytes;
  plan_.running_max = std::min(running_max(batch_limits_), plan_.pages);
  plan_.prompt_chunk_tokens = hardware_.is_gpu() ? batch_limits_.tokens_max : kPromptChunkTokens;
  plan_.step_tokens_max = batch_limits_.tokens_max;
  plan_.recorded_steps_max = hardware_.is_gpu() ? static_cast<std::int64_t>(kRecordedStepsMax) : 0;
}

void Planner::explain_memory() {
  const MemorySplit& memory = plan_.memory;
  line("weights", format_bytes(memory.weight_bytes),
       model_.loaded ? "as loaded" : "as in the files, without an MTP layer");
  line("workspace", format_bytes(memory.workspace_bytes),
       fmt::format("for steps of up to {} tokens of {} requests", batch_limits_.tokens_max,
                   batch_limits_.sequences_max));
  if (hardware_.is_gpu()) {
    line("graphs", format_bytes(memory.graph_bytes),
         "kept free for recorded steps and for kernels, which are loaded when they first run");
  }
  std::string why = "everybody's longest context; more would never be used";
  if (!known_) {
    why = fmt::format("how much memory there is is not known: {} whole contexts", kBlindRequests);
  } else if (plan_.pages == affordable_) {
    why = hardware_.is_gpu() ? "all that is left"
                             : "half of what is left; the machine has other work";
  }
  line("pages", format_bytes(memory.page_bytes),
       fmt::format("{} of {} tokens, {} each: {}", plan_.pages, kPageTokens,
                   format_bytes(model_.page_bytes), why));
}

void Planner::explain() {
  const std::string name = hardware_.name.empty() ? "" : ", " + hardware_.name;
  const std::string free_text =
      !known_ ? "its memory is not known"
              : fmt::format("{} of {} are free{}", format_bytes(hardware_.memory_free_bytes),
                            format_bytes(hardware_.memory_total_bytes),
                            model_.loaded ? " beside the model" : "");
  line("device", hardware_.device + name,
       hardware_.memory == MemoryKind::unified
           ? free_text + ", shared with the host: at most half of it is taken"
           : free_text);
  explain_memory();
  std::string_view format =
      hardware_.is_gpu() ? "the type of activations on a GPU" : "the type of activations on a CPU";
  if (plan_.kv_format == "fp8") format = "as asked (kv_cache_type)";
  line("kv format", std::string(plan_.kv_format), std::string(format));

  std::string context = "the model's own";
  if (plan_.context_max < wanted_) {
    context = fmt::format("what the pages hold; the model's own is {}", model_.context_own);
  } else if (overrides_.context_max > model_.context_own) {
    context = fmt::format("the model's own; {} were asked for", overrides_.context_max);
  } else if (overrides_.context_max > 0) {
    context = fmt::format("as asked; the model's own is {}", model_.context_own);
  }
  line("context", fmt::format("{} tokens", plan_.context_max), context);
  const std::int64_t contexts = plan_.pages / pages_of(plan_.context_max);
  line("running", fmt::format("{} requests", plan_.running_max),
       plan_.running_max == plan_.pages
           ? "every request holds a page"
           : fmt::format("what a step holds beside a chunk; the pages hold {} whole context{}, and "
                         "who finds none free waits",
                         contexts, contexts == 1 ? "" : "s"));
  line("prompt chunk", fmt::format("{} tokens", plan_.prompt_chunk_tokens),
       hardware_.is_gpu() ? "as much of a prompt as a step holds; less while others would wait"
                          : "prompts are always cut at the same places, so that answers repeat");
  line("step", fmt::format("{} tokens", plan_.step_tokens_max),
       "a token for each running request, and chunks of prompts");
  line("recorded steps",
       plan_.recorded_steps_max == 0 ? "none" : fmt::format("{}", plan_.recorded_steps_max),
       plan_.recorded_steps_max == 0
           ? "a CPU gains nothing by them"
           : fmt::format("shapes kept as graphs, of 1 to {} requests as they occur",
                         plan_.running_max));
  if (hardware_.bandwidth_bytes_per_s > 0 && model_.token_read_bytes > 0) {
    line("speed limit",
         fmt::format("{:.0f} tokens/s", hardware_.bandwidth_bytes_per_s /
                                            static_cast<double>(model_.token_read_bytes)),
         fmt::format("of one request: a token reads {} of weights, the memory gives {}/s at best",
                     format_bytes(model_.token_read_bytes),
                     format_bytes(static_cast<std::uint64_t>(hardware_.bandwidth_bytes_per_s))));
  }
}

}  // namespace

Result<RunPlan> plan(const ModelNeeds& model, const HardwareFacts& hardware,
                     const RunOverrides& overrides) {
  if (overrides.context_max < 0) {
    return make_error(Errc::invalid_argument, "a context of {} tokens: wanted 0 or more",
                      overrides.context_max);
  }
  return Planner(model, hardware, overrides).make();
}

}  // namespace glm::runner
