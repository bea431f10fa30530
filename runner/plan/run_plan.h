// Everything that is decided about a run before it begins, with the reason for each.
//
// The same function makes the plan that `glm show --plan` prints, refuses a load that cannot
// succeed before a weight is read, and sizes what the runner really does: then the weights are
// there, and free memory has been measured instead of predicted.
//
//   memory      weights | workspace | kept for graphs and kernels | pages | left to others
//   pages       as many as fit; on the host half of what the rest leaves
//   context     the model's own or what was asked for, as far as the pages carry one request
//   running     bounded by pages and by what a step holds, not by a number of its own
//
// Pure: no file, device or clock.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "runner/plan/hardware.h"
#include "runner/plan/memory_needs.h"

namespace glm::runner {

// The same model in another form, for whom this one is too large.
struct Alternative {
  std::string name;  // "glm-4.7-flash:awq"
  std::uint64_t weight_bytes = 0;
};

// What a person has asked for.
struct RunOverrides {
  std::int64_t context_max = 0;           // tokens; 0: as much as fits
  std::vector<Alternative> alternatives;  // for the message where there is no room
};

// These add up to at most what was free, or is taken by the model already.
struct MemorySplit {
  std::uint64_t available_bytes = 0;  // 0: unknown, and so is the rest but weights and workspace
  std::uint64_t weight_bytes = 0;
  std::uint64_t workspace_bytes = 0;
  std::uint64_t graph_bytes = 0;
  std::uint64_t page_bytes = 0;  // of all pages
};

struct PlanLine {
  std::string name;    // "context"
  std::string value;   // "202752 tokens"
  std::string reason;  // "the model's own"
};

struct RunPlan {
  std::string device;
  MemorySplit memory;
  std::string_view kv_format;
  std::int64_t pages = 0;
  std::int64_t context_max = 0;  // tokens of one request, prompt and answer
  std::int64_t running_max = 0;  // requests in one step
  std::int64_t prompt_chunk_tokens = 0;
  std::int64_t step_tokens_max = 0;     // running requests and a chunk
  std::int64_t recorded_steps_max = 0;  // shapes of steps kept as graphs; 0: none
  std::vector<PlanLine> lines;          // all of the above for people, none without a reason
};

// Errc::exhausted: no room, in one message with what is needed, what there is and what would fit.
// Errc::invalid_argument: a negative context.
Result<RunPlan> plan(const ModelNeeds& model, const HardwareFacts& hardware,
                     const RunOverrides& overrides);

}  // namespace glm::runner
