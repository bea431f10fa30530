// What a checkpoint's files say about prompts: its chat templates, and the special tokens that
// templates know by name.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"
#include "modelfiles/modelfile.h"
#include "runner/checkpoint/checkpoint_files.h"

namespace glm::daemon {

// Sources of templates; "" where there is none.
struct ChatTemplates {
  std::string standard;
  std::string with_tools;  // some checkpoints have one of its own for requests with tools

  const std::string& choose(const nlohmann::ordered_json& tools) const;
};

// From the Modelfile's TEMPLATE, which stands for both, or chat_template.jinja (and
// additional_chat_templates/tool_use.jinja), or the key in tokenizer_config.json, or
// chat_template.json.
Result<ChatTemplates> find_chat_templates(const runner::CheckpointFiles& files,
                                          const modelfiles::Modelfile& modelfile);

// Whether text can become tokens. Errc::unsupported without a tokenizer.json, or what is wrong with
// the one that is there.
Status check_tokenizer(const runner::CheckpointFiles& files);

// Why a model without a tokenizer.json does not run.
Error no_tokenizer();

// The template that is used without tools.
Result<std::string> find_chat_template(const runner::CheckpointFiles& files,
                                       const modelfiles::Modelfile& modelfile);

// {"bos_token": "<s>", …}: those of the seven names that tokenizer_config.json, or else
// special_tokens_map.json, gives. Templates see them as variables.
Result<nlohmann::ordered_json> special_tokens(const runner::CheckpointFiles& files);

}  // namespace glm::daemon
