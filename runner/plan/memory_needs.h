// How much memory a model will want, found out from its facts alone, so that a plan can be made,
// and a load refused, before a weight is read.
//
// Weights keep the size they have in the files, without the layer that is not loaded. The workspace
// follows the shapes that runner/models allocates for the largest step;
// tests/plan/memory_needs_test.cc holds both against models that were loaded.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/kv_format.h"
#include "runner/checkpoint/model_facts.h"

namespace glm::runner {

struct ModelNeeds {
  std::string model = {};               // for messages; may be empty
  std::int64_t context_own = 0;         // tokens the model was made for
  std::uint64_t weight_bytes = 0;       // 0: unknown
  std::uint64_t workspace_bytes = 0;    // activations of the largest step
  std::uint64_t page_bytes = 0;         // of kPageTokens tokens, in all layers
  std::uint64_t token_read_bytes = 0;   // weights that one token of one request reads; 0: unknown
  std::string_view kv_format = "bf16";  // of what is kept of a token
  bool loaded = false;  // weights and workspace are there, and memory that is free is beside them
};

enum class Backend : std::uint8_t { cpu, cuda };

// `kv_format` fp8_latent is for latent attention only.
ModelNeeds needs_of(const ModelFacts& facts, Backend backend,
                    kernels::KvFormat kv_format = kernels::KvFormat::plain);

}  // namespace glm::runner
