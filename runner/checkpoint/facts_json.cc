#include <nlohmann/json.hpp>

#include "runner/checkpoint/model_facts.h"

namespace glm::runner {

std::string facts_json(const ModelFacts& facts) {
  using Json = nlohmann::ordered_json;
  Json json = {
      {"architecture", facts.architecture},
      {"parameters", facts.parameters},
      {"parameters_active", facts.parameters_active},
      {"format", facts.format_summary},
      {"context_max", facts.context_max},
      {"hidden_size", facts.config.hidden_size},
      {"layers", facts.config.layers},
      {"vocab_size", facts.vocab_size},
      {"eos_ids", facts.eos_ids},
      {"kv_bytes_per_token", facts.kv_bytes_per_token},
      {"weight_bytes", facts.weight_bytes},
      {"tensors", facts.tensors},
      {"has_mtp", facts.has_mtp},
  };
  if (facts.config.moe.experts > 0) {
    json["experts"] = facts.config.moe.experts;
    json["experts_per_token"] = facts.config.moe.experts_per_token;
  }
  for (const FormatGroup& row : facts.formats) {
    json["formats"].push_back({{"group", row.group},
                               {"format", row.format},
                               {"modules", row.modules},
                               {"parameters", row.parameters},
                               {"bytes", row.bytes}});
  }
  for (const UnquantizedGroup& row : facts.unquantized) {
    json["unquantized"].push_back({{"group", row.group},
                                   {"modules", row.modules},
                                   {"of", row.of},
                                   {"layers", row.layers},
                                   {"first", row.first}});
  }
  if (!facts.notes.empty()) json["notes"] = facts.notes;
  if (facts.refusal) json["refusal"] = facts.refusal->message;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace glm::runner
