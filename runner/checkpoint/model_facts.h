// Everything known about a checkpoint from its files, without loading a weight.
//
// The facts decide whether a model can run, how much memory it wants and what `show` prints. Names
// of repositories decide nothing; per module, the tensors that exist decide how it is stored.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runner/checkpoint/checkpoint.h"
#include "runner/checkpoint/checkpoint_files.h"
#include "runner/checkpoint/format_groups.h"
#include "runner/checkpoint/generation_config.h"
#include "runner/checkpoint/model_config.h"
#include "runner/checkpoint/quantization.h"

namespace glm::runner {

struct ModelFacts {
  std::string architecture;  // "glm4_moe_lite"
  ModelConfig config;
  std::int32_t vocab_size = 0;  // logits per token; rows past the tokenizer's last id are padding
  std::int64_t context_max = 0;
  std::vector<std::int32_t> eos_ids;  // generation_config.json, else config.json
  GenerationDefaults generation;
  Quantization quantization;

  // By the dimensions of the config, or by the tensors where the architecture does not run; the MTP
  // layer is not among them.
  std::uint64_t parameters = 0;
  std::uint64_t parameters_active = 0;  // what one token multiplies with: chosen experts, the head
  std::uint64_t weight_bytes = 0;       // tensor bytes in the files; 0 if only the config was seen
  std::uint64_t tensors = 0;
  std::uint64_t kv_bytes_per_token = 0;  // in a 16-bit cache
  bool has_mtp = false;                  // a multi-token prediction layer is stored

  std::string format_summary;                 // "bf16", "int4 g32 (compressed-tensors)"
  std::vector<FormatGroup> formats;           // largest first; empty if only the config was seen
  std::vector<UnquantizedGroup> unquantized;  // what a quantized checkpoint leaves as it was

  // Epsilon of q_a_layernorm and kv_a_layernorm. Defaults to rms_norm_eps, as every engine does;
  // transformers builds these two norms with 1e-6 whatever the config says.
  float latent_norm_eps = 0;

  std::vector<std::string> notes;  // oddities a person may want to know, one sentence each

  // Why this program cannot run it; what else is here then is what could be found out all the same,
  // and zero what could not. Only survey() gives such facts.
  std::optional<Error> refusal;
};

// From config and tensor headers. Errc::unsupported says which block or format is missing,
// Errc::corrupt which file and field is wrong, Errc::not_found which file.
Result<ModelFacts> inspect(const CheckpointFiles& files);

// The same where neither is in files.
Result<ModelFacts> inspect(std::string_view config_json, const Checkpoint& checkpoint);

// The same where the weights are elsewhere: `small_files` holds config.json, what else there is
// beside it and the index, `shards` the headers of weight_file_names().
Result<ModelFacts> inspect_headers(const CheckpointFiles& small_files,
                                   std::span<const ShardHeader> shards);

// The same for whoever wants to know what a checkpoint is, whether or not it runs: what inspect()
// answers with Errc::unsupported is in ModelFacts::refusal.
Result<ModelFacts> survey(const CheckpointFiles& files);
Result<ModelFacts> survey_headers(const CheckpointFiles& small_files,
                                  std::span<const ShardHeader> shards);
Result<ModelFacts> survey_small_files(const CheckpointFiles& files);  // without the tensors

// What the small files alone tell (config.json; generation_config.json and the quantization
// sidecars if present), so that a model which cannot run is refused before gigabytes are fetched.
Result<ModelFacts> inspect_small_files(const CheckpointFiles& files);

// The same from text already in memory.
Result<ModelFacts> inspect_config(std::string_view config_json,
                                  std::string_view generation_config_json = {});

// A small, stable summary for manifests and `show`: architecture, parameters, format, context …
std::string facts_json(const ModelFacts& facts);

}  // namespace glm::runner
