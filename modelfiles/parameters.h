// The options of a run: what a Modelfile's PARAMETER, the REST `options` object and the flags of
// `glm run` may say, with one range and one message for all three.
//
// The order of precedence is request > Modelfile > the checkpoint's generation_config > what is
// written below. Options that are not set stay empty, so that the checkpoint gets its turn.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/option_table.h"
#include "base/result.h"
#include "modelfiles/modelfile.h"

namespace glm::modelfiles {

struct RunOptions {
  std::optional<double> temperature;  // 0: always the likeliest token
  std::optional<std::int64_t> top_k;  // 0 or -1: all tokens
  std::optional<double> top_p, min_p;
  std::optional<double> repeat_penalty;       // 1: none
  std::optional<std::int64_t> repeat_last_n;  // -1: the whole context, 0: off
  std::optional<double> presence_penalty, frequency_penalty;
  std::optional<std::int64_t> seed;  // -1: a new one for every answer
  std::optional<std::int64_t>
      num_predict;                      // -1: until the model stops, -2: until the context is full
  std::optional<std::int64_t> num_ctx;  // 0: as much as fits
  std::vector<std::string> stop;
  std::string device;         // "auto", "cpu" or "cuda"; never empty
  std::string kv_cache_type;  // "bf16" or "fp8"; never empty
};

// The table behind it all; lives for the whole program.
const OptionTable& parameter_table();

// A JSON value as one of an option; nullopt for kinds that no option takes.
std::optional<OptionValue> option_value(const nlohmann::json& json);

// A Modelfile's lines into the set, at OptionOrigin::modelfile.
Status apply(const Modelfile& modelfile, OptionSet& options);

// The `options` object of a request into the set. null values count as absent. Names that the table
// does not know are returned, not refused: clients send many that only other servers understand.
// Errc::invalid_argument when options is no object or a value is wrong.
Result<std::vector<std::string>> apply_request(const nlohmann::json& options, OptionSet& set);

// Reads the set (made over parameter_table()) into its struct.
RunOptions run_options(const OptionSet& options);

}  // namespace glm::modelfiles
