// The text side of a model, which lives in the daemon: tokenizer, chat template, what its files and
// its Modelfile say about generation. The runner knows token ids only.
//
// Thread safety: immutable after load; const members from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cmd/daemon/prompt_files.h"
#include "cmd/daemon/thinking.h"
#include "modelfiles/modelfile.h"
#include "runner/checkpoint/checkpoint_files.h"
#include "runner/checkpoint/model_facts.h"
#include "runner/text/call_layout.h"
#include "runner/text/chat_template.h"
#include "runner/text/tokenizer.h"

namespace glm::daemon {

class TextModel {
 public:
  // Errc::not_found, corrupt or unsupported, naming the file.
  static Result<TextModel> load(const runner::CheckpointFiles& files, const std::string& modelfile);

  const runner::ModelFacts& facts() const { return facts_; }
  const runner::Tokenizer& tokenizer() const { return tokenizer_; }
  const modelfiles::Modelfile& modelfile() const { return modelfile_; }

  bool can_think() const { return template_ && daemon::can_think(*template_); }

  // How the model writes tool calls; none without a template.
  runner::CallLayout call_layout() const;

  // The prompt text for `messages` (an array as clients send it, with the Modelfile's SYSTEM and
  // MESSAGEs put before it). `extras` are further variables of the template.
  // Errc::unsupported when there is no chat template, or it takes too much; invalid_argument names
  // the place in it.
  Result<std::string> render(const nlohmann::ordered_json& messages,
                             const nlohmann::ordered_json& tools,
                             const nlohmann::ordered_json& extras,
                             const Thinking& thinking = {}) const;

 private:
  const runner::ChatTemplate* template_for(const nlohmann::ordered_json& tools) const;
  TextModel(runner::ModelFacts facts, runner::Tokenizer tokenizer);

  runner::ModelFacts facts_;
  runner::Tokenizer tokenizer_;
  modelfiles::Modelfile modelfile_;
  std::optional<runner::ChatTemplate> template_;
  std::optional<runner::ChatTemplate> tool_template_;  // in its place when there are tools
  nlohmann::ordered_json special_tokens_;
};

// Files in the store are as published until something damages them, and what was published may be
// wrong itself: tells how to find out which. `model` is the name of the model in the store.
Error with_repair_hint(Error error, std::string_view model);

}  // namespace glm::daemon
